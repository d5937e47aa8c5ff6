// The uploads of this browser: ids, links and instants in localStorage; never a photo, never a customer's id.
import { readImage } from "./api.js";

const NAME = "tryon-uploads";
const MOST = 24;
const list = document.getElementById("gallery");
const nothing = document.getElementById("gallery-empty");

let open = () => {};

export function startGallery({ onOpen }) {
  open = onOpen;
  save(entries().filter(isAlive));
  draw();
}

export function remember({ imageId, imageUrl, imageUrlExpiresAt, expiresAt }) {
  const others = entries().filter((entry) => entry.imageId !== imageId && isAlive(entry));
  save([{ imageId, imageUrl, imageUrlExpiresAt, expiresAt }, ...others].slice(0, MOST));
  draw();
}

export function forget(imageId) {
  save(entries().filter((entry) => entry.imageId !== imageId));
  draw();
}

/** Asks the service for all of them again; what is left gets a new link. Returns: the ids of those that are gone. */
export async function refresh() {
  const asked = entries().reverse(); // the one that is remembered last comes first
  const answers = await Promise.allSettled(asked.map(({ imageId }) => readImage(imageId)));
  const gone = asked.filter((_, at) => answers[at].reason?.code === "IMAGE_NOT_FOUND").map(({ imageId }) => imageId);
  gone.forEach(forget);
  answers.filter(({ status }) => status === "fulfilled").forEach(({ value }) => remember(value));
  return gone;
}

export const needsRefresh = () => entries().some((entry) => Date.parse(entry.imageUrlExpiresAt) <= Date.now());

const isAlive = (entry) => Date.parse(entry.expiresAt) > Date.now();

function entries() {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return []; // somebody else wrote there; start anew
  }
}

const save = (kept) => localStorage.setItem(NAME, JSON.stringify(kept));

function draw() {
  const all = entries();
  nothing.hidden = all.length > 0;
  list.replaceChildren(...all.map(item));
}

function item({ imageId, imageUrl, expiresAt }) {
  const button = document.createElement("button");
  button.type = "button";
  const picture = document.createElement("img");
  picture.src = imageUrl;
  picture.alt = "";
  picture.loading = "lazy";
  picture.onerror = () => button.classList.add("is-blank");
  const until = document.createElement("span");
  until.textContent = `until ${new Date(expiresAt).toLocaleDateString(undefined, { day: "numeric", month: "short" })}`;
  button.append(picture, until);
  button.setAttribute("aria-label", `Open the upload that is kept ${until.textContent}, ${imageId.slice(-6)}`);
  button.addEventListener("click", () => open(imageId));
  const entry = document.createElement("li");
  entry.append(button);
  return entry;
}
