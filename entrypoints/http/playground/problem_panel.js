// The place where a failure is told, with a way on.
import { inWords } from "./problems.js";

const element = (id) => document.getElementById(id);
const panel = element("problem");
const retry = element("problem-retry");

let onRetry = null;
let waiting = null;

export function showProblem(problem, again = null) {
  if (problem.code === "CANCELLED") return;
  const { title, advice, details, reference, waitSeconds, passes } = inWords(problem);
  element("problem-title").textContent = title;
  element("problem-advice").textContent = advice;
  element("problem-details").replaceChildren(...details.map(line));
  element("problem-reference").textContent = reference;
  onRetry = again;
  retry.hidden = !(again && passes);
  panel.hidden = false;
  hold(waitSeconds ?? 0);
  panel.focus();
}

export function clearProblem() {
  clearInterval(waiting);
  panel.hidden = true;
}

/** The service said how long to wait: the button tells, and works again after that. */
function hold(seconds) {
  clearInterval(waiting);
  const until = Date.now() + seconds * 1000;
  const tell = () => {
    const left = Math.ceil((until - Date.now()) / 1000);
    retry.disabled = left > 0;
    retry.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left <= 0) clearInterval(waiting);
  };
  waiting = setInterval(tell, 250);
  tell();
}

function line({ path, message }) {
  const item = document.createElement("li");
  item.textContent = `${path} ${message}`;
  return item;
}

retry.addEventListener("click", () => {
  clearProblem();
  onRetry?.();
});
