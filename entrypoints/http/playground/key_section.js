// The form of the API key. A key is tried before it is kept.
import { checkKey } from "./api.js";
import { announce } from "./announce.js";
import { currentKey, forgetKey, keepKey, shownKey } from "./key.js";
import { inWords } from "./problems.js";

const element = (id) => document.getElementById(id);
const section = element("key-section");
const form = element("key-form");
const input = element("key");
const known = element("key-known");
const complaint = element("key-problem");

export function startKeySection({ onReady }) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    complaint.textContent = "";
    const key = input.value.trim();
    try {
      await checkKey(key);
    } catch (problem) {
      const { title, advice } = inWords(problem);
      complaint.textContent = `${title}. ${advice}`;
      input.setAttribute("aria-invalid", "true");
      input.focus();
      return;
    }
    keepKey(key, { remember: element("key-remember").checked });
    input.value = "";
    draw();
    announce("The key works.");
    element("photo-heading").focus();
    onReady();
  });
  element("key-forget").addEventListener("click", () => askForKey());
  draw();
}

/** Also when the service refused the kept key. */
export function askForKey() {
  forgetKey();
  draw();
  input.focus();
}

function draw() {
  const key = currentKey();
  input.removeAttribute("aria-invalid");
  section.hidden = Boolean(key);
  known.hidden = !key;
  element("key-shown").textContent = key ? shownKey(key) : "";
}
