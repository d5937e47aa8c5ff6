// Takes a photo with the camera of a computer.
const dialog = document.getElementById("camera");
const view = document.getElementById("camera-view");
const take = document.getElementById("camera-take");
const problem = document.getElementById("camera-problem");

/** Resolves to a JPEG, or to null when nothing was taken. */
export async function photoFromCamera() {
  problem.textContent = "";
  take.disabled = true;
  dialog.showModal();
  const closed = new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  let stream = null;
  let photo = null;
  const shoot = async () => {
    photo = await frame();
    dialog.close();
  };
  take.addEventListener("click", shoot);
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 3840 }, height: { ideal: 2160 } } });
    view.srcObject = stream;
    await view.play();
    take.disabled = false;
    take.focus();
  } catch (error) {
    problem.textContent =
      error.name === "NotAllowedError"
        ? "The camera is not allowed. Allow it in the address bar, or choose a photo instead."
        : "There is no camera that answers. Choose a photo instead.";
  }
  await closed;
  take.removeEventListener("click", shoot);
  stream?.getTracks().forEach((track) => track.stop());
  view.srcObject = null;
  return photo;
}

async function frame() {
  const canvas = new OffscreenCanvas(view.videoWidth, view.videoHeight);
  canvas.getContext("2d").drawImage(view, 0, 0);
  const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.95 });
  return new File([blob], "camera.jpg", { type: "image/jpeg" });
}

document.getElementById("camera-cancel").addEventListener("click", () => dialog.close());
