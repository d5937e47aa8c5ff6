// Says what was done, on the screen and to screen readers, without moving the focus.
const SHOWN_MS = 5000;
const place = document.getElementById("announcements");

let fading = null;

export function announce(words) {
  clearTimeout(fading);
  place.textContent = ""; // the same words twice are news again
  requestAnimationFrame(() => (place.textContent = words));
  fading = setTimeout(() => (place.textContent = ""), SHOWN_MS);
}
