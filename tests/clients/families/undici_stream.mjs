// undici's request with its own FormData and File: sync, and an upload by ticket.
import { readFileSync } from "node:fs";
import { File } from "node:buffer";
import { FormData, request } from "undici";

const { TRYON_URL, TRYON_KEY, PHOTO, SHIRT_URL } = process.env;
const headers = { "x-api-key": TRYON_KEY };
const json = { ...headers, "content-type": "application/json" };
const made = await request(`${TRYON_URL}/tryon/v1/upload-tickets`, { method: "POST", headers: json, body: '{"keepForDays":1}' });
const { ticket, uploadUrl } = await made.body.json();
const form = new FormData();
form.set("file", new File([readFileSync(PHOTO)], "selfie.jpg", { type: "image/jpeg" }));
const uploaded = await request(uploadUrl, { method: "POST", headers: { authorization: `Bearer ${ticket}` }, body: form });
const { imageId, keepForDays } = await uploaded.body.json();
if (uploaded.statusCode !== 201 || keepForDays !== 1) throw new Error("ticket");
const waited = await request(`${TRYON_URL}/tryon/v1/try-on/sync`, {
  method: "POST",
  headers: json,
  body: JSON.stringify({ products: [{ images: [{ url: SHIRT_URL }] }], person: { image: { id: imageId } } }),
});
const done = await waited.body.json();
if (waited.statusCode !== 200 || done.status !== "COMPLETED" || done.success !== true) throw new Error(JSON.stringify(done));
console.log("done");
