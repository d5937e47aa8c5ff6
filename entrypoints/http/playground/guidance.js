// After a photo was taken: what an upload would say of it, before anything is kept.
import { checkPhoto } from "./api.js";
import { aboutThePhoto, noteItem } from "./notes.js";
import { chosenOptions } from "./options.js";

const dialog = document.getElementById("guidance");
const picture = document.getElementById("guidance-picture");

/** Resolves to "use" or "retake". A check that fails keeps nobody from uploading: the upload will tell. */
export async function advised(photo) {
  const form = new FormData();
  for (const [name, value] of chosenOptions()) if (["crop", "fit"].includes(name)) form.append(name, value);
  form.append("file", photo);
  let warnings;
  try {
    warnings = aboutThePhoto((await checkPhoto(form)).warnings);
  } catch {
    return "use";
  }
  if (!warnings.length) return "use";
  return ask(photo, warnings);
}

function ask(photo, warnings) {
  picture.src = URL.createObjectURL(photo);
  document.getElementById("guidance-list").replaceChildren(...warnings.map(noteItem));
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener(
      "close",
      () => {
        URL.revokeObjectURL(picture.src);
        resolve(dialog.returnValue === "use" ? "use" : "retake");
      },
      { once: true },
    ),
  );
}

document.getElementById("guidance-use").addEventListener("click", () => dialog.close("use"));
document.getElementById("guidance-retake").addEventListener("click", () => dialog.close("retake"));
