# Ruby's net/http: ruby client.rb net-http URL PLAN
require "json"
require "net/http"
_, url, plan = ARGV
uri = URI(url)
JSON.parse(File.read(plan)).each do |step|
  request = Net::HTTP::Post.new(uri, "x-api-key" => step["key"])
  file = File.open(step["file"], "rb")
  request.set_form([[step["part"], file, { filename: "photo.jpg" }]], "multipart/form-data")
  begin
    answer = Net::HTTP.start(uri.host, uri.port, read_timeout: 60) { |http| http.request(request) }
    puts "#{step["name"]} #{answer.code} #{JSON.parse(answer.body)["code"] || "-"}#{",retry-after" if answer["retry-after"]}"
  rescue StandardError => e
    puts "#{step["name"]} 0 #{e.class}"
  end
end
