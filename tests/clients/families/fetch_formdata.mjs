// Node's fetch with FormData and a Blob, as most server routes do it: crop, try on by id, poll.
import { readFileSync } from "node:fs";

const { TRYON_URL, TRYON_KEY, PHOTO, SHIRT_URL } = process.env;
const headers = { "x-api-key": TRYON_KEY };
const form = new FormData();
form.append("file", new Blob([readFileSync(PHOTO)], { type: "image/jpeg" }), "selfie.jpg");
const uploaded = await fetch(`${TRYON_URL}/tryon/v1/images/upload`, { method: "POST", headers, body: form });
const { imageId, imageUrl } = await uploaded.json();
if (uploaded.status !== 201 || !imageId || !(await fetch(imageUrl)).ok) throw new Error("upload");

const started = await fetch(`${TRYON_URL}/tryon/v1/try-on`, {
  method: "POST",
  headers: { ...headers, "content-type": "application/json" },
  body: JSON.stringify({
    products: [{ externalId: "fetch-shirt", title: "Shirt", images: [{ source: { url: SHIRT_URL } }] }],
    person: { image: { source: { id: imageId } } },
    externalUserId: "fetch-user",
  }),
});
const { generationId, status } = await started.json();
if (started.status !== 202 || status !== "PENDING") throw new Error("try-on");
let generation;
do {
  await new Promise((wake) => setTimeout(wake, 200));
  generation = await (await fetch(`${TRYON_URL}/tryon/v1/generations/${generationId}`, { headers })).json();
} while (!["COMPLETED", "FAILED"].includes(generation.status));
if (!(await fetch(generation.resultImageUrl)).ok) throw new Error(generation.errorMessage);

const large = new FormData();
large.append("file", new Blob([new Uint8Array(11 * 1024 * 1024)]), "large.jpg");
const refused = await fetch(`${TRYON_URL}/tryon/v1/images/upload`, { method: "POST", headers, body: large });
if (refused.status !== 413 || (await refused.json()).code !== "FILE_TOO_LARGE") throw new Error("413");
console.log("done");
