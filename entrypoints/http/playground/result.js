// Shows one image: the source with what was found, the stored picture, and all that is known of it.
import { countDown, stopCounting } from "./countdown.js";
import { noteItem } from "./notes.js";
import { drawOver } from "./overlay.js";

const element = (id) => document.getElementById(id);
const section = element("result");

/** `photo`: what was uploaded, when this page still has it. */
export function show(image, { photo, onExpired }) {
  section.hidden = false;
  showSource(image, photo);
  element("stored-picture").src = image.imageUrl;
  element("stored-caption").textContent = `Kept: ${image.width} × ${image.height}, ${kilobytes(image.sizeBytes)}`;
  showNotes(image);
  element("image-id").textContent = image.imageId;
  countDown(element("expiry"), image.expiresAt, { whenOver: onExpired, over: "deleted" });
  showLink(image);
}

export function showLink(image) {
  element("open-picture").href = image.imageUrl;
  countDown(element("link-expiry"), image.imageUrlExpiresAt, { over: "no longer" });
}

export function hide() {
  section.hidden = true;
  stopCounting(element("expiry"));
  stopCounting(element("link-expiry"));
  for (const id of ["source-picture", "stored-picture"]) element(id).removeAttribute("src");
}

export function focusResult() {
  element("result-heading").focus({ preventScroll: true });
  section.scrollIntoView({ block: "start" });
}

let objectUrl = null;

function showSource(image, photo) {
  const picture = element("source-picture");
  if (objectUrl) URL.revokeObjectURL(objectUrl);
  objectUrl = photo ? URL.createObjectURL(photo) : null;
  const { format, width, height } = image.source;
  element("source-caption").textContent = `Sent: ${format}, ${width} × ${height}`;
  picture.alt = "The photo as it was uploaded";
  element("source-note").hidden = true;
  drawOver(image, { x: 0, y: 0, width, height });
  const showStored = (note) => {
    picture.onerror = null;
    picture.src = image.imageUrl;
    picture.alt = "The stored picture";
    element("source-note").textContent = note;
    element("source-note").hidden = false;
    drawOver(image, image.crop ?? { x: 0, y: 0, width, height });
  };
  if (!objectUrl) return showStored("The photo itself never stays in this browser, so this is the stored picture.");
  picture.onerror = () => showStored(`This browser cannot show ${format} photos, so this is the stored picture.`);
  picture.src = objectUrl;
}

const FRAMINGS = {
  "full-body": "from head to feet",
  "three-quarter": "from head to knees",
  "half-body": "from head to hips",
  "close-up": "head and shoulders",
};

function showNotes({ person, warnings }) {
  const place = element("notes");
  const heading = document.createElement("h3");
  const who = person?.count > 1 ? `The main one of ${person.count} people` : "One person";
  heading.textContent = person ? `${who}, ${FRAMINGS[person.framing] ?? person.framing}` : "What was noticed";
  const list = document.createElement("ul");
  list.append(...warnings.map(noteItem));
  const fine = document.createElement("p");
  fine.textContent = "No issues found.";
  place.replaceChildren(heading, warnings.length ? list : fine);
}

const kilobytes = (bytes) => `${Math.max(1, Math.round(bytes / 1024)).toLocaleString("en")} KB`;
