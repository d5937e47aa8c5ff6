// A peer to measure against: multipart upload -> sharp -> a file and a row -> a signed URL, as a team would build it in
// an afternoon. Environment: PORT, DATA_DIR, API_KEY.
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { appendFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import multipart from "@fastify/multipart";
import Fastify from "fastify";
import decodeHeic from "heic-decode";
import sharp from "sharp";

const { PORT, DATA_DIR, API_KEY } = process.env;
const LIMIT = 10 * 1024 * 1024;
const keyHash = createHash("sha256").update(API_KEY).digest();
await mkdir(join(DATA_DIR, "images"), { recursive: true });

const isAllowed = (key) => key && timingSafeEqual(createHash("sha256").update(key).digest(), keyHash);
const isHeic = (file) => file.toString("latin1", 4, 8) === "ftyp" && /hei[cxs]|mif1|hevc/.test(file.toString("latin1", 8, 24));

// sharp's own libvips cannot decode HEVC; the usual answer is libheif as WebAssembly.
async function open(file) {
  if (!isHeic(file)) return sharp(file, { limitInputPixels: 64e6 });
  const { width, height, data } = await decodeHeic({ buffer: file });
  return sharp(Buffer.from(data.buffer, data.byteOffset, data.byteLength), { raw: { width, height, channels: 4 } });
}

async function keep(file) {
  const image = await open(file);
  const { width, height, orientation = 1 } = await image.metadata();
  const [w, h] = orientation >= 5 ? [height, width] : [width, height];
  const kept = Math.min(1600, w, Math.round(h * 0.8));
  const { data, info } = await image
    .autoOrient()
    .resize(kept, Math.round(kept * 1.25), { fit: "cover", position: "attention" })
    .flatten({ background: "#ffffff" })
    .toColourspace("srgb")
    .jpeg({ quality: 92, progressive: false })
    .toBuffer({ resolveWithObject: true });
  const imageId = `img_${randomBytes(18).toString("base64url")}`;
  await writeFile(join(DATA_DIR, "images", `${imageId}.jpg`), data);
  await appendFile(join(DATA_DIR, "rows"), `${imageId},${info.width},${info.height},${Date.now()}\n`);
  const expires = Math.floor(Date.now() / 1000) + 900;
  const signature = createHmac("sha256", API_KEY).update(`${imageId}.${expires}`).digest("base64url");
  return { imageId, imageUrl: `http://127.0.0.1:${PORT}/i/${imageId}?e=${expires}&s=${signature}` };
}

const app = Fastify({ bodyLimit: LIMIT + 65536 });
app.register(multipart, { limits: { fileSize: LIMIT, files: 1 } });
app.get("/health", async () => ({ ok: true }));
app.post("/images/upload", async (request, reply) => {
  if (!isAllowed(request.headers["x-api-key"])) return reply.code(401).send({ code: "INVALID_API_KEY" });
  const part = await request.file();
  return reply.code(201).send(await keep(await part.toBuffer()));
});
await app.listen({ port: Number(PORT), host: "127.0.0.1" });
