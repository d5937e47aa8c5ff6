// Java's HttpClient: java Client.java HttpClient URL PLAN (lines of "name key part file", since Java reads no JSON)
import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;
import java.util.regex.*;

public class Client {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (String line : Files.readAllLines(Path.of(arguments[2] + ".txt"))) {
            String[] step = line.split(" ");
            ByteArrayOutputStream body = new ByteArrayOutputStream();
            String head = "--edge\r\nContent-Disposition: form-data; name=\"" + step[2] + "\"; filename=\"a.jpg\"\r\n\r\n";
            body.write(head.getBytes());
            body.write(Files.readAllBytes(Path.of(step[3])));
            body.write("\r\n--edge--\r\n".getBytes());
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[1])).header("x-api-key", step[1])
                .header("content-type", "multipart/form-data; boundary=edge")
                .POST(HttpRequest.BodyPublishers.ofByteArray(body.toByteArray())).build();
            try {
                HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
                Matcher code = Pattern.compile("\"code\":\"([A-Z_]+)\"").matcher(answer.body());
                boolean refused = answer.statusCode() >= 400 && code.find();
                System.out.println(step[0] + " " + answer.statusCode() + " " + (refused ? code.group(1) : "-")
                    + (answer.headers().firstValue("retry-after").isPresent() ? ",retry-after" : ""));
            } catch (Exception error) {
                System.out.println(step[0] + " 0 " + error.getClass().getSimpleName());
            }
        }
    }
}
