"""Sizes and boxes in whole pixels, measured from the top left corner of an upright picture."""

from dataclasses import dataclass
from typing import Self


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

    def is_inside(self, size: Size) -> bool:
        return self.x >= 0 and self.y >= 0 and self.right <= size.width and self.bottom <= size.height
