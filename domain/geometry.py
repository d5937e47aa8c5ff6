"""Sizes and boxes in whole pixels, measured from the top left corner of an upright picture."""

from dataclasses import dataclass
from math import ceil, floor
from typing import Final, Self


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height of a picture in pixels, both at least 1."""

    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a picture has at least one pixel, got {self.width} x {self.height}")

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def longest_edge(self) -> int:
        return max(self.width, self.height)

    def transposed(self) -> Self:
        """The size after a turn by 90 degrees."""
        return type(self)(self.height, self.width)

    def limited_to(self, longest_edge: int) -> Self:
        """The size scaled down, in proportion, to `longest_edge`; unchanged when it fits already."""
        if self.longest_edge <= longest_edge:
            return self
        scale = longest_edge / self.longest_edge
        return type(self)(max(1, round(self.width * scale)), max(1, round(self.height * scale)))


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of `width` x `height` pixels whose top left pixel is (`x`, `y`)."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def covering(cls, size: Size) -> Self:
        return cls(0, 0, size.width, size.height)

    @classmethod
    def spanning(cls, left: float, top: float, right: float, bottom: float, within: Self) -> Self | None:
        """The whole pixels that an area touches inside a box; None when it lies outside."""
        x, y = max(within.x, floor(left)), max(within.y, floor(top))
        width, height = min(within.right, ceil(right)) - x, min(within.bottom, ceil(bottom)) - y
        return cls(x, y, width, height) if width > 0 and height > 0 else None

    @property
    def right(self) -> int:
        """The first column right of the box."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """The first row below the box."""
        return self.y + self.height

    @property
    def size(self) -> Size:
        return Size(self.width, self.height)

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def center(self) -> tuple[float, float]:
        return self.x + self.width / 2, self.y + self.height / 2

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies inside or on the border."""
        return self.x <= x <= self.right and self.y <= y <= self.bottom

    def shared_area(self, other: Self) -> int:
        """How many pixels both boxes hold."""
        shared = self.cut_to(other)
        return shared.area if shared else 0

    def overlap(self, other: Self) -> float:
        """The shared area of two boxes over that of both, 0-1."""
        shared = self.shared_area(other)
        return shared / (self.area + other.area - shared)

    def cut_to(self, other: Self) -> Self | None:
        """The part that lies in another box; None when there is none."""
        return type(self).spanning(self.x, self.y, self.right, self.bottom, other)

    def widened(self, share: float) -> Self:
        """With this share of its width and height more on every side."""
        across, down = round(share * self.width), round(share * self.height)
        return type(self)(self.x - across, self.y - down, self.width + 2 * across, self.height + 2 * down)

    def moved(self, across: int, down: int) -> Self:
        return type(self)(self.x + across, self.y + down, self.width, self.height)

    def joined(self, other: Self) -> Self:
        """The smallest box that holds both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        return type(self)(x, y, max(self.right, other.right) - x, max(self.bottom, other.bottom) - y)

    def is_inside(self, size: Size) -> bool:
        return self.x >= 0 and self.y >= 0 and self.right <= size.width and self.bottom <= size.height


@dataclass(frozen=True, slots=True)
class Padding:
    """By how many pixels a picture is extended on each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        return any((self.left, self.top, self.right, self.bottom))

    def around(self, size: Size) -> Size:
        """The size of a picture with the padding on its sides."""
        return Size(self.left + size.width + self.right, self.top + size.height + self.bottom)

    def scaled(self, size: Size, to: Size) -> Self:
        """The padding of a picture of `size` when both together are scaled to a picture of size `to`.

        Even on the left and at the top: colors are kept for two by two pixels, and pairs of them are not torn apart.
        """
        across, down = to.width / self.around(size).width, to.height / self.around(size).height
        right = min(round(self.right * across), to.width - 1)
        bottom = min(round(self.bottom * down), to.height - 1)
        left = min(2 * round(self.left * across / 2), (to.width - right - 1) // 2 * 2)
        top = min(2 * round(self.top * down / 2), (to.height - bottom - 1) // 2 * 2)
        return type(self)(left, top, right, bottom)


NO_PADDING: Final = Padding()
