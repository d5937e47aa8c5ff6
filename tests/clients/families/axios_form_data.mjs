// axios with form-data and a stream, as older servers do it: crop=false, the person by our own imageUrl, multipart.
import { createReadStream } from "node:fs";
import axios from "axios";
import FormData from "form-data";

const { TRYON_URL, TRYON_KEY, PHOTO, SHIRT_URL } = process.env;
const api = axios.create({ baseURL: `${TRYON_URL}/tryon/v1`, headers: { "x-api-key": TRYON_KEY } });
const form = new FormData();
form.append("file", createReadStream(PHOTO));
form.append("crop", "false");
form.append("customerId", "axios-user");
const { data: image } = await api.post("/images/upload", form, { headers: form.getHeaders() });
if (image.crop || !image.warnings.some(({ code }) => code === "DEPRECATED_FIELD")) throw new Error("upload");

const { data: started } = await api.post("/try-on", {
  product: { externalId: "axios-shirt", imageUrls: [SHIRT_URL] },
  customer: { url: image.imageUrl },
  customerId: "axios-user",
});
const tryOn = new FormData();
tryOn.append("data", JSON.stringify({ product: { images: [{ fileKey: "garment" }] }, customer: { image: { fileKey: "selfie" } } }));
tryOn.append("garment", createReadStream(PHOTO));
tryOn.append("selfie", createReadStream(PHOTO));
const { data: second } = await api.post("/try-on", tryOn, { headers: tryOn.getHeaders() });
for (const { generationId } of [started, second]) {
  for (;;) {
    const { data } = await api.get(`/generations/${generationId}`);
    if (data.status === "COMPLETED" && data.resultImageUrl) break;
    if (data.status === "FAILED") throw new Error(data.errorCode);
    await new Promise((wake) => setTimeout(wake, 200));
  }
}
const missing = await api.get("/generations/gen_unknown", { validateStatus: () => true });
if (missing.status !== 404 || missing.data.code !== "GENERATION_NOT_FOUND") throw new Error("404");
console.log("done");
