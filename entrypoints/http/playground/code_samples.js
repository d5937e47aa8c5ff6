// The request that made a picture, in the languages that integrators write. The key stays in a variable: what is typed
// into a shell lands in its history.
const tabs = document.getElementById("code-tabs");
const panel = document.getElementById("code");

const quoted = (value) => `'${value.replaceAll("'", `'\\''`)}'`;
const text = (value) => JSON.stringify(value);

const LANGUAGES = {
  curl: (api, name, options) =>
    [
      `curl ${api}/images/upload`,
      `-H "x-api-key: $TRYON_API_KEY"`,
      `-F file=@${quoted(name)}`,
      ...options.map(([field, value]) => `-F ${field}=${quoted(value)}`),
    ].join(" \\\n  "),
  TypeScript: (api, name, options) =>
    `import { openAsBlob } from "node:fs";

const form = new FormData();
form.append("file", await openAsBlob(${text(name)}), ${text(name)});
${options.map(([field, value]) => `form.append(${text(field)}, ${text(value)});\n`).join("")}
const response = await fetch(${text(`${api}/images/upload`)}, {
  method: "POST",
  headers: { "x-api-key": process.env.TRYON_API_KEY! },
  body: form,
});
const image = await response.json(); // { imageId, imageUrl, expiresAt, … }, or { code, message }`,
  Python: (api, name, options) =>
    `import os, requests

with open(${text(name)}, "rb") as photo:
    answer = requests.post(
        ${text(`${api}/images/upload`)},
        headers={"x-api-key": os.environ["TRYON_API_KEY"]},
        files={"file": photo},
        data={${options.map(([field, value]) => `${text(field)}: ${text(value)}`).join(", ")}},
    )
image = answer.json()  # imageId, imageUrl, expiresAt …, or code and message`,
};

let shown = { name: "photo.jpg", options: [] };
let language = Object.keys(LANGUAGES)[0];

export function startCodeSamples() {
  for (const name of Object.keys(LANGUAGES)) {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.className = "tab";
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "code-panel");
    tab.textContent = name;
    tab.addEventListener("click", () => choose(name));
    tab.addEventListener("keydown", move);
    tabs.append(tab);
  }
  choose(language);
}

export function showRequest(name, options) {
  shown = { name, options };
  draw();
}

function choose(name) {
  language = name;
  for (const tab of tabs.children) {
    const isChosen = tab.textContent === name;
    tab.setAttribute("aria-selected", isChosen);
    tab.tabIndex = isChosen ? 0 : -1;
  }
  draw();
}

function move(event) {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  const all = [...tabs.children];
  const next = all[(all.indexOf(event.currentTarget) + step + all.length) % all.length];
  choose(next.textContent);
  next.focus();
}

const draw = () => (panel.textContent = LANGUAGES[language](`${location.origin}/tryon/v1`, shown.name, shown.options));
