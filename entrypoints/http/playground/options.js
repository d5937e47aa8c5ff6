// What the form asks for, as the API names it; what is empty or default is not sent.
const options = document.getElementById("options");

export function chosenOptions() {
  const { framing, keepForDays, externalUserId } = options.elements;
  return Object.entries({
    crop: framing.value === "none" ? "false" : "",
    fit: framing.value === "pad" ? "pad" : "",
    keepForDays: keepForDays.value,
    externalUserId: externalUserId.value,
  }).filter(([, value]) => value);
}

export const keepForDays = () => Number(options.elements.keepForDays.value) || undefined;

options.addEventListener("submit", (event) => event.preventDefault());
