# curl: sh client.sh curl URL PLAN (lines of "name key part file")
while read -r name key part file; do
    answer=$(curl -sS -m 60 -D "$3.head" -w '\n%{http_code}' -H "x-api-key: $key" -F "$part=@$file;filename=photo.jpg" "$2" 2>/dev/null)
    code=$(printf '%s' "$answer" | grep -o '"code":"[A-Z_]*","message"' | cut -d'"' -f4)
    case $answer in *[0-9]) status=${answer##*[!0-9]} ;; esac
    [ "$status" -ge 400 ] || code=-
    later=$(grep -qi "^retry-after:" "$3.head" && echo ,retry-after)
    echo "$name $(printf '%s' "$answer" | tail -n 1) ${code:--}$later"
done <"$3.txt"
