// Draws what was found over a picture. Boxes are in pixels of the upright source.
const SVG = "http://www.w3.org/2000/svg";
const overlay = document.getElementById("overlay");
const legend = document.getElementById("legend");
const words = document.getElementById("overlay-words");

const MARKS = [
  ["window", "Kept window", (image) => image.crop],
  ["person", "Person", (image) => image.person?.box],
  ["face", "Face", (image) => image.person?.face],
];

/** `view`: the part of the upright source that the picture shows. */
export function drawOver(image, view) {
  overlay.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
  const found = MARKS.map(([kind, name, of]) => [kind, name, of(image)]).filter(([, , box]) => box);
  overlay.replaceChildren(...shade(image.crop, view), ...found.map(([kind, , box]) => rectangle(kind, box)));
  legend.replaceChildren(...found.map(([kind, name]) => entry(kind, name)));
  words.textContent = described(image, found);
}

function rectangle(kind, { x, y, width, height }) {
  const mark = document.createElementNS(SVG, "rect");
  for (const [name, value] of Object.entries({ x, y, width, height, class: `mark ${kind}` })) mark.setAttribute(name, value);
  return mark;
}

/** What is cut away lies in shadow. */
function shade(crop, view) {
  if (!crop) return [];
  const path = document.createElementNS(SVG, "path");
  const ring = ({ x, y, width, height }) => `M${x} ${y}h${width}v${height}h${-width}z`;
  path.setAttribute("d", ring(view) + ring(crop));
  path.setAttribute("class", "shade");
  return [path];
}

function entry(kind, name) {
  const item = document.createElement("li");
  item.className = kind;
  item.textContent = name;
  return item;
}

function described(image, found) {
  if (!found.length) return "Nothing was drawn over the photo.";
  const places = found.map(([, name, b]) => `${name}: ${b.width} by ${b.height} pixels, ${b.x} from the left, ${b.y} from the top`);
  const people = image.person ? `${image.person.count} found, ${image.person.framing}. ` : "Nobody was found. ";
  return people + places.join("; ") + ".";
}
