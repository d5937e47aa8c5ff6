// React Native or Expo: upload a picked photo with a ticket that your server asked for. No key in the app.
export interface Ticket {
  ticket: string;
  uploadUrl: string;
}

export interface Uploaded {
  imageId: string;
  warnings: { code: string; message: string }[];
}

/** `uri` as expo-image-picker gives it: `file:///…/photo.heic`. HEIC is fine; the name and the type are not looked at. */
export async function uploadPhoto(uri: string, { ticket, uploadUrl }: Ticket): Promise<Uploaded> {
  const form = new FormData();
  form.append("file", { uri, name: "photo", type: "application/octet-stream" } as unknown as Blob);
  const answer = await fetch(uploadUrl, {
    method: "POST",
    headers: { authorization: `Bearer ${ticket}` }, // no content-type: fetch knows the boundary
    body: form,
  });
  const body = await answer.json();
  if (!answer.ok) throw new Error(`${body.code}: ${body.message}`);
  return body;
}
