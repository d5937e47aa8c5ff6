"""Whatever a detector that was taken over may say and be believed, the decisions about the photo can deal with it."""

from hypothesis import example, given
from hypothesis import strategies as st

from adapters.sandbox.channel import Measured, Seen
from adapters.sandbox.detectors import _check
from domain.cropping import Fit, place
from domain.geometry import Box, Size
from domain.image import StoredPhoto
from domain.person import BodyPart, Landmark, PersonReport, SeenPerson, SeenPhoto
from domain.photo import Appearance, SourceFormat, warnings_about

edges = st.integers(1, 9) | st.integers(1, 6000)
sizes = st.builds(Size, edges, edges)
numbers = st.floats(-1e6, 1e6)
landmarks = st.builds(Landmark, numbers, numbers, numbers)


@st.composite
def boxes(draw: st.DrawFn, size: Size) -> Box:
    x, y = draw(st.integers(0, size.width - 1)), draw(st.integers(0, size.height - 1))
    return Box(x, y, draw(st.integers(1, size.width - x)), draw(st.integers(1, size.height - y)))


@st.composite
def answers(draw: st.DrawFn) -> SeenPhoto:
    size = draw(sizes)
    inside, perhaps = boxes(size), st.none() | boxes(size)
    joints: st.SearchStrategy[dict[BodyPart, Landmark]] = st.just({}) | st.fixed_dictionaries(
        dict.fromkeys(BodyPart, landmarks)
    )
    person = st.builds(SeenPerson, inside, perhaps, perhaps, numbers, joints, numbers)
    people = st.lists(person, max_size=3).map(tuple)
    return SeenPhoto(size, draw(inside), draw(people), draw(perhaps), draw(st.integers(0, 3)))


BESIDE_IT = SeenPhoto(Size(9, 9), Box(0, 0, 1, 1), (SeenPerson(Box(1, 1, 1, 1), None, None, 0.5),))


@example(BESIDE_IT, Appearance(0, 0, 0, 0), Fit.PAD)
@given(answers(), st.builds(Appearance, numbers, numbers, numbers, numbers, numbers), st.sampled_from(Fit))
def test_every_believed_answer_leads_to_a_picture(seen: SeenPhoto, appearance: Appearance, fit: Fit) -> None:
    _check(Seen(seen), seen.size)
    _check(Measured(appearance), seen.size)
    placement = place(seen, fit)
    assert placement.window.is_inside(seen.size)
    stored = placement.padding.around(placement.window.size).limited_to(2000)
    person = seen.main_person
    facts = StoredPhoto(
        size=stored,
        size_bytes=1,
        source_format=SourceFormat.JPEG,
        source_size=seen.size,
        crop=placement.window,
        person=PersonReport.about(person, len(seen.people), placement.canvas) if person else None,
        warnings=tuple(
            warnings_about(seen, kept=placement.canvas, stored=stored, looked_for_people=True, appearance=appearance)
        ),
        pad=placement.padding.scaled(placement.window.size, stored),
    )
    assert facts.crop == placement.window
