// The ways photos come in: chosen, dropped, pasted, taken, or an example.
import { photoFromCamera } from "./camera.js";
import { Problem } from "./api.js";
import { advised } from "./guidance.js";

export function takeIn({ onPhotos, onProblem }) {
  const zone = document.getElementById("drop-zone");
  const capture = document.getElementById("capture");
  const offer = (files) => (files.length ? onPhotos([...files]) : onProblem(new Problem({ code: "NOT_A_FILE" })));

  const file = document.getElementById("file");
  file.addEventListener("change", () => {
    if (file.files.length) onPhotos([...file.files]);
    file.value = ""; // choosing the same photo again is a new upload
  });

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

  // A phone's own camera app takes the better photo.
  const take = async () => {
    if (matchMedia("(pointer: coarse)").matches || !navigator.mediaDevices) return capture.click();
    consider(await photoFromCamera());
  };
  const consider = async (photo) => {
    if (!photo) return;
    if ((await advised(photo)) === "use") onPhotos([photo]);
    else take();
  };
  capture.addEventListener("change", () => {
    const [photo] = capture.files;
    capture.value = "";
    consider(photo);
  });
  document.getElementById("take-photo").addEventListener("click", take);

  for (const button of document.querySelectorAll("[data-example]")) {
    button.addEventListener("click", async () => {
      const { example } = button.dataset;
      const photo = await fetch(`/playground/${example}`).then((response) => response.blob());
      onPhotos([new File([photo], example, { type: photo.type })]);
    });
  }
}
