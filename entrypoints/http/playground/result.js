// Shows one image: the source with what was found, the stored picture, and all that is known of it.
import { countDown, stopCounting } from "./countdown.js";
import { drawOver } from "./overlay.js";

const element = (id) => document.getElementById(id);
const section = element("result");

/** `photo`: what was uploaded, when this page still has it. */
export function show(image, { photo, onExpired }) {
  section.hidden = false;
  showSource(image, photo);
  element("stored-picture").src = image.imageUrl;
  element("stored-caption").textContent = `Stored: ${image.width} × ${image.height}, ${kilobytes(image.sizeBytes)}`;
  element("again").hidden = !photo;
  showWarnings(image.warnings);
  element("image-id").textContent = image.imageId;
  element("curl").textContent = curl(image);
  countDown(element("expiry"), image.expiresAt, { whenOver: onExpired, over: "gone" });
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

export const focusResult = () => element("result-heading").focus();

let objectUrl = null;

function showSource(image, photo) {
  const picture = element("source-picture");
  if (objectUrl) URL.revokeObjectURL(objectUrl);
  objectUrl = photo ? URL.createObjectURL(photo) : null;
  const { format, width, height } = image.source;
  element("source-caption").textContent = `Source: ${format}, ${width} × ${height}`;
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

function showWarnings(warnings) {
  const place = element("warnings");
  const heading = document.createElement("h3");
  heading.textContent = warnings.length ? "Worth knowing" : "Nothing to complain about";
  const list = document.createElement("ul");
  list.append(
    ...warnings.map(({ code, message }) => {
      const item = document.createElement("li");
      const name = document.createElement("code");
      name.textContent = code;
      item.append(message, " ", name);
      return item;
    }),
  );
  place.classList.toggle("is-fine", !warnings.length);
  place.replaceChildren(heading, ...(warnings.length ? [list] : []));
}

/** The key stays out of the command: what is typed into a shell lands in its history. */
const curl = (image) =>
  `curl -H "x-api-key: $TRYON_API_KEY" \\\n  ${location.origin}/tryon/v1/images/${image.imageId}`;

const kilobytes = (bytes) => `${Math.max(1, Math.round(bytes / 1024)).toLocaleString("en")} KB`;
