// The whole flow with the client that @hey-api/openapi-ts makes of the document; its zod schemas judge every answer.
import { readFileSync } from "node:fs";
import { client } from "../generated/hey/client.gen";
import { erase, getCredits, getGeneration, getImage, registerProduct, startTryOn, tryOn, uploadImage } from "../generated/hey/sdk.gen";
import { zGeneration, zImage, zProblem, zProduct, zStartedTryOn } from "../generated/hey/zod.gen";

const { TRYON_URL, TRYON_KEY, PHOTO, SHIRT_URL } = process.env as Record<string, string>;
const photo = new File([readFileSync(PHOTO)], "photo.jpg", { type: "image/jpeg" });
client.setConfig({ baseUrl: TRYON_URL, auth: (scheme) => (scheme.type === "apiKey" ? TRYON_KEY : undefined) });

function expect(what: string, isSo: boolean): void {
  if (!isSo) throw new Error(what);
}

const uploaded = await uploadImage({ body: { file: photo, externalUserId: "bob", crop: true } });
const image = zImage.parse(uploaded.data);
const started = zStartedTryOn.parse(
  (
    await startTryOn({
      body: {
        products: [{ externalId: "shirt-1", images: [{ source: { url: SHIRT_URL } }] }],
        person: { image: { source: { url: image.imageUrl } } },
      },
    })
  ).data,
);
for (;;) {
  const polled = zGeneration.parse((await getGeneration({ path: { generationId: started.generationId } })).data);
  if (polled.status === "COMPLETED") break;
  expect("no failure", polled.status !== "FAILED");
  await new Promise((wake) => setTimeout(wake, 100));
}
const waited = await tryOn({
  body: { products: [{ externalId: "shirt-1" }], person: { image: { source: { id: image.imageId } } } },
});
expect("waited", zGeneration.parse(waited.data).status === "COMPLETED");
zProduct.parse((await registerProduct({ body: { externalId: "hat", imageUrls: [SHIRT_URL] } })).data);
expect("credits", (await getCredits()).data?.creditBalance === 1_000_000);
expect("a problem", zProblem.parse((await getImage({ path: { imageId: "img_unknown" } })).error).status === 404);
expect("erased", ((await erase({ body: { customerId: "bob" } })).data?.imagesErased ?? 0) >= 1);
console.log("done");
