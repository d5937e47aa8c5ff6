<?php // PHP with curl: php client.php curl URL PLAN
[, , $url, $plan] = $argv;
foreach (json_decode(file_get_contents($plan), true) as $step) {
    $later = false;
    $call = curl_init($url);
    curl_setopt_array($call, [
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_HTTPHEADER => ["x-api-key: " . $step["key"]],
        CURLOPT_POSTFIELDS => [$step["part"] => new CURLFile($step["file"], "image/jpeg", "caf\xe9.jpg")],
        CURLOPT_TIMEOUT => 60,
        CURLOPT_HEADERFUNCTION => function ($_, $line) use (&$later) {
            $later = $later || stripos($line, "retry-after:") === 0;
            return strlen($line);
        },
    ]);
    $body = curl_exec($call);
    $status = curl_getinfo($call, CURLINFO_RESPONSE_CODE);
    $code = json_decode((string) $body, true)["code"] ?? "-";
    echo $step["name"], " ", $body === false ? 0 : $status, " ", $body === false ? "curl_" . curl_errno($call) : $code, $later ? ",retry-after" : "", "\n";
}
