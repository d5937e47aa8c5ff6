// The photos sent from this page: each with its own progress and its own outcome, two on their way at once.
import { Problem, uploadImage } from "./api.js";
import { chosenOptions } from "./options.js";
import { inWords } from "./problems.js";

const AT_ONCE = 2;
const list = document.getElementById("uploads");
const waiting = [];

let running = 0;
let told = () => {};

/** `onStored(upload)` and `onRefused(upload)` hear how each one ended; `onOpen(upload)` when somebody looks again. */
export function startUploads({ onStored, onRefused, onOpen }) {
  told = { onStored, onRefused, onOpen };
}

/** Returns: { photo, options, image, problem }, filled while it goes on. */
export function add(photo) {
  const upload = { photo, options: chosenOptions(), image: null, problem: null, stop: new AbortController() };
  upload.parts = row(upload);
  list.prepend(upload.parts.item);
  begin(upload);
  return upload;
}

export function again(upload) {
  upload.stop = new AbortController();
  begin(upload);
}

export function drop(imageId) {
  for (const item of [...list.children]) if (item.dataset.imageId === imageId) item.remove();
}

function begin(upload) {
  upload.problem = null;
  tell(upload, "Waiting", 0);
  waiting.push(upload);
  next();
}

async function next() {
  if (running >= AT_ONCE || !waiting.length) return;
  const upload = waiting.shift();
  running += 1;
  try {
    await send(upload);
  } finally {
    running -= 1;
    next();
  }
}

async function send(upload) {
  const form = new FormData();
  for (const [name, value] of upload.options) form.append(name, value);
  form.append("file", upload.photo);
  const onProgress = (share) => tell(upload, share < 1 ? "Sending" : "Finding the person", share < 1 ? share : null);
  try {
    upload.image = await uploadImage(form, { onProgress, signal: upload.stop.signal });
    upload.parts.item.dataset.imageId = upload.image.imageId;
    upload.parts.picture.src = upload.image.imageUrl;
    const { warnings } = upload.image;
    tell(upload, warnings.length ? `Stored, ${warnings.length} ${warnings.length > 1 ? "notes" : "note"}` : "Stored", 1);
    told.onStored(upload);
  } catch (problem) {
    refuse(upload, problem instanceof Problem ? problem : new Problem({ code: "UNEXPECTED" }));
  }
}

function refuse(upload, problem) {
  if (problem.code === "CANCELLED") return upload.parts.item.remove();
  upload.problem = problem;
  tell(upload, inWords(problem).title, 1);
  upload.parts.item.classList.add("is-refused");
  told.onRefused(upload);
}

function row(upload) {
  const item = document.createElement("li");
  const open = document.createElement("button");
  open.type = "button";
  open.className = "upload";
  const picture = document.createElement("img");
  picture.alt = "";
  picture.src = URL.createObjectURL(upload.photo);
  picture.addEventListener("error", () => (picture.hidden = true));
  picture.addEventListener("load", () => (picture.hidden = false));
  const name = document.createElement("span");
  name.className = "upload-name";
  name.textContent = upload.photo.name;
  const status = document.createElement("span");
  status.className = "upload-status";
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.setAttribute("aria-label", `Progress of ${upload.photo.name}`);
  open.append(picture, name, status);
  open.addEventListener("click", () => (upload.image || upload.problem) && told.onOpen(upload));
  const cancel = document.createElement("button");
  cancel.type = "button";
  cancel.className = "quiet";
  cancel.textContent = "Cancel";
  cancel.setAttribute("aria-label", `Cancel ${upload.photo.name}`);
  cancel.addEventListener("click", () => {
    const place = waiting.indexOf(upload);
    if (place >= 0) waiting.splice(place, 1);
    upload.stop.abort();
    item.remove();
  });
  item.append(open, bar, cancel);
  return { item, picture, status, bar, cancel };
}

/** `share`: 0 to 1; null while nobody knows how long it takes. */
function tell(upload, words, share) {
  const { item, status, bar, cancel } = upload.parts;
  item.classList.remove("is-refused");
  status.textContent = words;
  if (share === null) bar.removeAttribute("value");
  else bar.value = share;
  const isOver = share === 1;
  bar.hidden = isOver;
  cancel.hidden = isOver;
}
