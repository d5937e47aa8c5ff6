// Erases a customer and shows the receipt.
import { eraseCustomer } from "./api.js";
import { confirmed } from "./confirm.js";

const form = document.getElementById("erase-form");
const input = document.getElementById("erase-id");
const receipt = document.getElementById("receipt");

/** `attempt(imageId, work)` runs the work and tells what went wrong; `onErased` hears when pictures may be gone. */
export function startErasing({ attempt, onErased }) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const customer = input.value;
    const words = `Every picture of “${customer}” in this account is deleted at once.`;
    if (!(await confirmed({ title: "Erase this customer?", words, yes: "Erase everything" }))) return;
    await attempt(null, async () => {
      show(await eraseCustomer(customer));
      await onErased();
    });
  });
}

function show({ erasureId, status, imagesErased, requestedAt }) {
  const pictures = imagesErased === 1 ? "1 picture" : `${imagesErased} pictures`;
  const words = {
    ERASED: `Erased: ${pictures}, ${new Date(requestedAt).toLocaleString()}.`,
    ERASING: `${pictures} can no longer be reached; the bytes go as soon as storage is back.`,
  };
  const id = document.createElement("code");
  id.textContent = erasureId;
  receipt.replaceChildren(words[status], " Receipt: ", id);
  receipt.hidden = false;
  input.value = "";
}
