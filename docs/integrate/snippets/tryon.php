<?php
// Upload a photo, try a product on, wait for the picture. PHP 8.1 or newer with the curl extension.

function call(string $path, array $options = []): array
{
    $request = curl_init(getenv('TRYON_URL') . '/tryon/v1' . $path);
    $headers = ['x-api-key: ' . getenv('TRYON_KEY'), ...($options['headers'] ?? [])];
    if (isset($options['json'])) {
        $headers[] = 'content-type: application/json';
        curl_setopt($request, CURLOPT_POSTFIELDS, json_encode($options['json']));
    } elseif (isset($options['form'])) {
        curl_setopt($request, CURLOPT_POSTFIELDS, $options['form']);
    }
    curl_setopt_array($request, [CURLOPT_RETURNTRANSFER => true, CURLOPT_HTTPHEADER => $headers, CURLOPT_TIMEOUT => 60]);
    $body = curl_exec($request);
    if ($body === false) {
        throw new RuntimeException(curl_error($request));
    }
    $result = json_decode($body, true);
    if (curl_getinfo($request, CURLINFO_RESPONSE_CODE) >= 400) {
        throw new RuntimeException("{$result['code']}: {$result['message']} ({$result['requestId']})");
    }
    return $result;
}

$image = call('/images/upload', ['form' => [
    'file' => new CURLFile(getenv('PHOTO')),
    'externalUserId' => 'gid://shopify/Customer/1',
]]);
foreach ($image['warnings'] as $warning) {
    fwrite(STDERR, $warning['message'] . "\n"); // in words for the customer
}
$started = call('/try-on', [
    'headers' => ['idempotency-key: ' . bin2hex(random_bytes(16))], // send the same one when you try again
    'json' => [
        'products' => [['externalId' => 'shirt-1', 'images' => [['source' => ['url' => getenv('SHIRT_URL')]]]]],
        'person' => ['image' => ['source' => ['id' => $image['imageId']]]],
    ],
]);
do {
    sleep(2);
    $generation = call('/generations/' . $started['generationId']);
} while (!in_array($generation['status'], ['COMPLETED', 'FAILED'], true));
if ($generation['status'] === 'FAILED') {
    throw new RuntimeException($generation['errorMessage']);
}
echo $generation['resultImageUrl'], "\n";
