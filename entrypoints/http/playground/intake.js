// The ways a photo comes in: dropped, pasted, chosen, taken.
import { photoFromCamera } from "./camera.js";
import { Problem } from "./api.js";

export function takeIn({ onPhoto, onProblem }) {
  const zone = document.getElementById("drop-zone");
  const offer = (files) => (files.length ? onPhoto(files[0]) : onProblem(new Problem({ code: "NOT_A_FILE" })));

  for (const input of [document.getElementById("file"), document.getElementById("capture")]) {
    input.addEventListener("change", () => {
      if (input.files.length) onPhoto(input.files[0]);
      input.value = ""; // choosing the same photo again is a new upload
    });
  }

  // A photo that misses the zone must not replace the page.
  let depth = 0;
  addEventListener("dragenter", () => zone.classList.toggle("is-over", ++depth > 0));
  addEventListener("dragleave", () => zone.classList.toggle("is-over", --depth > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    depth = 0;
    zone.classList.remove("is-over");
    if (event.defaultPrevented) return; // it fell on another zone, which took it
    event.preventDefault();
    offer(event.dataTransfer.files);
  });

  addEventListener("paste", (event) => {
    if (event.target.matches("input")) return;
    offer(event.clipboardData.files);
  });

  document.getElementById("take-photo").addEventListener("click", async () => {
    // A phone's own camera app takes the better photo.
    if (matchMedia("(pointer: coarse)").matches || !navigator.mediaDevices) {
      document.getElementById("capture").click();
      return;
    }
    const photo = await photoFromCamera();
    if (photo) onPhoto(photo);
  });
}
