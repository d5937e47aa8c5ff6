// Brings the parts of the page together.
import { deleteImage, eraseCustomer, Problem, readImage } from "./api.js";
import { announce } from "./announce.js";
import { confirmed } from "./confirm.js";
import { startCopyButtons } from "./copy.js";
import * as gallery from "./gallery.js";
import { takeIn } from "./intake.js";
import { currentKey } from "./key.js";
import { askForKey, startKeySection } from "./key_section.js";
import { clearProblem, showProblem } from "./problem_panel.js";
import * as result from "./result.js";
import * as tryOn from "./try-on.js";
import { externalUserId, send } from "./upload.js";

const element = (id) => document.getElementById(id);

let shown = null; // { image, photo }

async function upload(photo) {
  clearProblem();
  if (!currentKey()) return fail(new Problem({ code: "MISSING_API_KEY" }), () => upload(photo));
  try {
    const image = await send(photo);
    gallery.remember(image);
    show(image, photo);
    announce(`The picture is stored, with ${image.warnings.length || "no"} ${image.warnings.length === 1 ? "warning" : "warnings"}.`);
  } catch (problem) {
    fail(problem, () => upload(photo));
  }
}

function show(image, photo) {
  shown = { image, photo };
  result.show(image, { photo, onExpired: () => leave(image.imageId) });
  tryOn.offerFor(image.imageId);
  result.focusResult();
}

/** Once an image is gone, nothing of it stays on the page. */
function leave(imageId) {
  gallery.forget(imageId);
  if (shown?.image.imageId !== imageId) return;
  shown = null;
  result.hide();
  tryOn.withdraw();
}

function fail(problem, again) {
  if (problem.code === "CANCELLED") return;
  if (problem.code === "INVALID_API_KEY") askForKey();
  showProblem(problem, again);
}

/** Runs one call on an image; what turns out to be gone leaves the page. */
async function attempt(imageId, work) {
  clearProblem();
  try {
    await work();
  } catch (problem) {
    if (problem.code === "IMAGE_NOT_FOUND") leave(imageId);
    fail(problem, problem.code === "IMAGE_NOT_FOUND" ? null : () => attempt(imageId, work));
  }
}

element("fresh").addEventListener("click", () =>
  attempt(shown.image.imageId, async () => {
    const image = await readImage(shown.image.imageId);
    shown.image = image;
    gallery.remember(image);
    result.showLink(image);
    announce("The link is fresh.");
  }),
);

element("delete").addEventListener("click", async () => {
  const { imageId } = shown.image;
  const words = "The picture and its links are gone at once. There is no way back.";
  if (!(await confirmed({ title: "Delete this image?", words, yes: "Delete it" }))) return;
  await attempt(imageId, async () => {
    await deleteImage(imageId);
    leave(imageId);
    announce("The image is deleted.");
    element("photo-heading").focus();
  });
});

element("erase").addEventListener("click", async () => {
  const customer = externalUserId();
  const words = `Every image that was ever uploaded for “${customer}” in this account is gone at once.`;
  if (!(await confirmed({ title: "Erase this customer?", words, yes: "Erase everything" }))) return;
  await attempt(null, async () => {
    const isFinished = await eraseCustomer(customer);
    (await gallery.refresh()).forEach(leave);
    const later = "Storage is down: the pictures cannot be reached any more, and their bytes go when it is back.";
    announce(isFinished ? "The customer is erased." : later);
    element("photo-heading").focus();
  });
});

element("again").addEventListener("click", () => upload(shown.photo));

element("external-user-id").addEventListener("input", () => (element("erase").disabled = !externalUserId()));
element("options").addEventListener("submit", (event) => event.preventDefault());

startCopyButtons();
startKeySection({ onReady: () => gallery.needsRefresh() && gallery.refresh() });
takeIn({ onPhoto: upload, onProblem: (problem) => showProblem(problem) });
tryOn.startTryOnSection({ attempt });
gallery.startGallery({
  onOpen: (imageId) =>
    attempt(imageId, async () => {
      const image = await readImage(imageId);
      gallery.remember(image);
      show(image, null);
    }),
});
if (currentKey() && gallery.needsRefresh()) gallery.refresh();
