// Brings the parts of the page together.
import { deleteImage, Problem, readImage } from "./api.js";
import { announce } from "./announce.js";
import { showRequest, startCodeSamples } from "./code_samples.js";
import { confirmed } from "./confirm.js";
import { startCopyButtons } from "./copy.js";
import { startErasing } from "./erasing.js";
import * as gallery from "./gallery.js";
import { takeIn } from "./intake.js";
import { currentKey } from "./key.js";
import { askForKey, startKeySection } from "./key_section.js";
import { clearProblem, showProblem } from "./problem_panel.js";
import * as result from "./result.js";
import { signedIn } from "./sign_in.js";
import * as tryOn from "./try-on.js";
import * as uploads from "./uploads.js";

const element = (id) => document.getElementById(id);

let shown = null; // the image, as the API describes it
let isAwaited = false; // the next picture that is stored is shown at once

function upload(photos) {
  clearProblem();
  if (!currentKey()) {
    askForKey();
    return showProblem(new Problem({ code: "MISSING_API_KEY" }), () => upload(photos));
  }
  isAwaited = true;
  photos.forEach(uploads.add);
}

function stored(sent) {
  gallery.remember(sent.image);
  if (!isAwaited) return announce(`${sent.photo.name} is stored.`);
  isAwaited = false;
  show(sent.image, sent);
}

function refused(sent) {
  if (sent.problem.code === "INVALID_API_KEY") askForKey();
  if (isAwaited || !shown) showProblem(sent.problem, () => uploads.again(sent));
}

function open(sent) {
  clearProblem();
  if (sent.problem) return showProblem(sent.problem, () => uploads.again(sent));
  show(sent.image, sent);
}

/** `sent`: how it was uploaded from here, when it was. */
function show(image, sent) {
  shown = image;
  result.show(image, { photo: sent?.photo, onExpired: () => leave(image.imageId) });
  showRequest(sent?.photo.name ?? "photo.jpg", sent?.options ?? []);
  tryOn.offerFor(image.imageId);
  result.focusResult();
}

/** Once an image is deleted, nothing of it stays on the page. */
function leave(imageId) {
  gallery.forget(imageId);
  uploads.drop(imageId);
  if (shown?.imageId !== imageId) return;
  shown = null;
  result.hide();
  tryOn.withdraw();
}

/** Runs one call on an image; what turns out to be deleted leaves the page. */
async function attempt(imageId, work) {
  clearProblem();
  try {
    await work();
  } catch (problem) {
    if (problem.code === "IMAGE_NOT_FOUND") leave(imageId);
    if (["INVALID_API_KEY", "MISSING_API_KEY"].includes(problem.code)) askForKey();
    showProblem(problem, problem.code === "IMAGE_NOT_FOUND" ? null : () => attempt(imageId, work));
  }
}

element("new-link").addEventListener("click", () =>
  attempt(shown.imageId, async () => {
    shown = await readImage(shown.imageId);
    gallery.remember(shown);
    result.showLink(shown);
    announce("There is a new link.");
  }),
);

element("delete").addEventListener("click", async () => {
  const { imageId } = shown;
  const words = "The picture and its links are deleted at once. There is no way back.";
  if (!(await confirmed({ title: "Delete this image?", words, yes: "Delete it" }))) return;
  await attempt(imageId, async () => {
    await deleteImage(imageId);
    leave(imageId);
    announce("The image is deleted.");
    element("photo-heading").focus();
  });
});

startCopyButtons();
startCodeSamples();
startErasing({ attempt, onErased: async () => (await gallery.refresh()).forEach(leave) });
uploads.startUploads({ onStored: stored, onRefused: refused, onOpen: open });
takeIn({ onPhotos: upload, onProblem: (problem) => showProblem(problem) });
tryOn.startTryOnSection({ attempt });
gallery.startGallery({
  onOpen: (imageId) =>
    attempt(imageId, async () => {
      const image = await readImage(imageId);
      gallery.remember(image);
      show(image, null);
    }),
});
await signedIn();
startKeySection({ onReady: () => gallery.needsRefresh() && gallery.refresh() });
if (currentKey() && gallery.needsRefresh()) gallery.refresh();
