// Sends one photo with the chosen options and shows how far it got.
import { uploadImage } from "./api.js";

const panel = document.getElementById("progress");
const bar = document.getElementById("progress-bar");
const words = document.getElementById("progress-words");
const options = document.getElementById("options");

let running = null;

export const externalUserId = () => options.elements.externalUserId.value;

/** The options as the API names them; what is empty or default is not sent. */
export function chosenOptions() {
  const { crop, keepForDays, externalUserId: owner } = options.elements;
  return Object.entries({
    crop: crop.checked ? "" : "false",
    keepForDays: keepForDays.value,
    externalUserId: owner.value,
  }).filter(([, value]) => value);
}

/** Returns: the image as the API describes it. A newer upload cancels the one before. */
export async function send(photo) {
  running?.abort();
  const own = (running = new AbortController());
  const form = new FormData();
  for (const [name, value] of chosenOptions()) form.append(name, value);
  form.append("file", photo);
  begin();
  try {
    return await uploadImage(form, { onProgress: show, signal: own.signal });
  } finally {
    if (running === own) {
      running = null;
      panel.hidden = true;
    }
  }
}

function begin() {
  panel.hidden = false;
  bar.value = 0;
  words.textContent = "Sending the photo …";
}

function show(share) {
  bar.value = Math.round(share * 100);
  if (share < 1) return;
  bar.removeAttribute("value"); // all is sent; how long the rest takes is not known
  words.textContent = "Looking for people and developing the picture …";
}

document.getElementById("cancel").addEventListener("click", () => running?.abort());
