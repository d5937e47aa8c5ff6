// Has the person of the shown image wear a garment: starts a try-on, and asks for it until it has ended.
import { readGeneration, startTryOn } from "./api.js";
import { failureInWords } from "./problems.js";
import { keepForDays } from "./options.js";

const POLL_MS = 2000; // as often as the API wants to be asked
const FILE_KEY = "garment";
const WORDS = {
  PENDING: "Waiting for its turn …",
  PROCESSING: "The picture is being made …",
  COMPLETED: "The picture is there.",
  FAILED: "",
};

const element = (id) => document.getElementById(id);
const section = element("try-on");
const zone = element("garment-zone");
const input = element("garment");
const thumbnail = element("garment-picture");
const start = element("try-on-start");
const status = element("try-on-status");
const failure = element("try-on-failure");
const outcome = element("try-on-result");
const picture = element("try-on-picture");

let imageId = null; // of the person
let garment = null; // a file, once one was chosen; until then the example
let running = null; // { imageId, form, generationId }

/** `attempt(imageId, work)` runs the work, tells what went wrong, and may offer to run it once more. */
export function startTryOnSection({ attempt }) {
  input.addEventListener("change", () => {
    if (input.files.length) choose(input.files[0]);
    input.value = ""; // the same file may be chosen again after it was changed
  });
  takeDrops();
  thumbnail.addEventListener("error", () => (thumbnail.hidden = true)); // HEIC, in most browsers
  start.addEventListener("click", async () => {
    if (running) return;
    const errand = { imageId, form: filledForm(await garmentFile()), generationId: null };
    attempt(imageId, () => run(errand));
  });
}

export function offerFor(id) {
  withdraw();
  imageId = id;
  section.hidden = false;
}

/** What was made for an image leaves the page together with it. */
export function withdraw() {
  imageId = null;
  section.hidden = true;
  clear();
  release();
}

function choose(file) {
  garment = file;
  URL.revokeObjectURL(thumbnail.src);
  thumbnail.src = URL.createObjectURL(file);
  thumbnail.hidden = false;
  if (!running) say(`Chosen: ${file.name}`);
}

async function garmentFile() {
  garment ??= await fetch(thumbnail.src).then((response) => response.blob());
  return garment;
}

function filledForm(file) {
  const request = {
    person: { image: { source: { id: imageId } } },
    products: [{ images: [{ source: { fileKey: FILE_KEY } }] }],
    output: { keepForDays: keepForDays() },
  };
  const form = new FormData();
  form.append("data", JSON.stringify(request));
  form.append(FILE_KEY, file, "garment");
  return form;
}

/** Run once more after a failure, it goes on with the try-on that was started already. */
async function run(errand) {
  if (running || errand.imageId !== imageId) return;
  clear();
  hold(errand);
  try {
    errand.generationId ??= (await startTryOn(errand.form)).generationId;
    await follow(errand);
  } catch (problem) {
    if (running !== errand) return; // of no interest once another image is shown
    say("");
    throw problem;
  } finally {
    if (running === errand) release();
  }
}

async function follow(errand) {
  say(WORDS.PENDING);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    if (running !== errand) return;
    const generation = await readGeneration(errand.generationId);
    if (running !== errand) return;
    say(WORDS[generation.status]);
    if (generation.status === "COMPLETED") return showPicture(generation);
    if (generation.status === "FAILED") return showFailure(generation);
  }
}

function hold(errand) {
  running = errand;
  start.setAttribute("aria-disabled", "true"); // `disabled` would take the focus away
  say("Sending the garment …");
}

function release() {
  running = null;
  start.removeAttribute("aria-disabled");
}

function clear() {
  say("");
  failure.replaceChildren();
  outcome.hidden = true;
  picture.removeAttribute("src");
}

/** The same words again are no news to a screen reader. */
function say(words) {
  if (status.textContent !== words) status.textContent = words;
}

function showPicture({ resultImageUrl, engine }) {
  picture.src = resultImageUrl;
  element("try-on-open").href = resultImageUrl;
  element("try-on-engine").textContent = `Made by the engine “${engine}”.`;
  element("try-on-sandbox-note").hidden = engine !== "sandbox";
  outcome.hidden = false;
}

function showFailure(generation) {
  const { title, advice, reference } = failureInWords(generation);
  const panel = document.createElement("div");
  panel.className = "problem";
  panel.append(line("h3", title), line("p", advice), line("p", reference, "help"));
  failure.replaceChildren(panel);
}

function line(name, text, className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

function takeDrops() {
  let depth = 0;
  zone.addEventListener("dragenter", () => zone.classList.toggle("is-over", ++depth > 0));
  zone.addEventListener("dragleave", () => zone.classList.toggle("is-over", --depth > 0));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    zone.classList.remove("is-over");
    const [file] = event.dataTransfer.files;
    if (file) choose(file);
    else say("That is not a file. Drop the picture itself, not a link to it.");
  });
}
