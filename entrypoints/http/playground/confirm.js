// Asks before something is lost. The answer "Keep" has the focus, and Escape means it too.
const dialog = document.getElementById("confirmation");

export function confirmed({ title, words, yes }) {
  document.getElementById("confirmation-heading").textContent = title;
  document.getElementById("confirmation-words").textContent = words;
  document.getElementById("confirmation-yes").textContent = yes;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }),
  );
}
