// Buttons that copy the text of another element.
import { announce } from "./announce.js";

export function startCopyButtons() {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const label = [...button.childNodes];
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      announce("Copied");
      button.textContent = "Copied";
      setTimeout(() => button.replaceChildren(...label), 1500);
    });
  }
}
