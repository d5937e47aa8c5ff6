"""The whole flow with the client that openapi-python-client makes of the document."""

# mypy: ignore-errors

import io
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, os.environ["GENERATED"])

from tryon_images_client import AuthenticatedClient
from tryon_images_client.api.account import get_credits
from tryon_images_client.api.customers import erase
from tryon_images_client.api.images import get_image, upload_image
from tryon_images_client.api.products import register_product
from tryon_images_client.api.try_ons import get_generation, start_try_on
from tryon_images_client.models import (
    EraseCustomer,
    ImageById,
    ImageByUrl,
    InputImage,
    InputProduct,
    RegisterProduct,
    StartTryOn,
    StartTryOnPerson,
    UploadForm,
)
from tryon_images_client.types import File

client = AuthenticatedClient(
    base_url=os.environ["TRYON_URL"], token=os.environ["TRYON_KEY"], prefix="", auth_header_name="x-api-key"
)
photo = Path(os.environ["PHOTO"]).read_bytes()
form = UploadForm(file=File(payload=io.BytesIO(photo), file_name="photo.jpg", mime_type="image/jpeg"), crop=False)
image = upload_image.sync(client=client, body=form)
shirt = InputImage(source=ImageByUrl(url=os.environ["SHIRT_URL"]))
person = StartTryOnPerson(image=InputImage(source=ImageById(id=image.image_id)))
body = StartTryOn(products=[InputProduct(external_id="shirt-1", images=[shirt])], person=person, external_user_id="cat")
started = start_try_on.sync(client=client, body=body)
while (done := get_generation.sync(generation_id=started.generation_id, client=client)).status != "COMPLETED":
    assert done.status != "FAILED", done
    time.sleep(0.1)
product = register_product.sync(client=client, body=RegisterProduct(external_id="scarf", images=[shirt]))
assert product.product_id == "scarf"
assert get_credits.sync(client=client).credit_balance == 1_000_000
assert get_image.sync(image_id="img_unknown", client=client).code == "IMAGE_NOT_FOUND"
assert erase.sync(client=client, body=EraseCustomer(customer_id="cat")).images_erased >= 1
print("done")
