// OkHttp, as React Native and other apps on Android use it: java -cp okhttp.jar:okio.jar Phone.java OkHttp URL PLAN
import java.nio.file.*;
import java.util.regex.*;
import okhttp3.*;

public class Phone {
    public static void main(String[] arguments) throws Exception {
        OkHttpClient client = new OkHttpClient();
        for (String line : Files.readAllLines(Path.of(arguments[2] + ".txt"))) {
            String[] step = line.split(" ");
            // React Native's NetworkingModule takes the headers of a part as JavaScript writes them.
            Headers head = Headers.of("content-disposition",
                "form-data; name=\"" + step[2] + "\"; filename=\"IMG_1.jpg\"; filename*=utf-8''IMG_1.jpg");
            RequestBody photo = RequestBody.create(MediaType.parse("image/jpeg"), Files.readAllBytes(Path.of(step[3])));
            RequestBody form = new MultipartBody.Builder().setType(MultipartBody.FORM).addPart(head, photo).build();
            Request request = new Request.Builder().url(arguments[1]).header("x-api-key", step[1]).post(form).build();
            try (Response answer = client.newCall(request).execute()) {
                Matcher code = Pattern.compile("\"code\":\"([A-Z_]+)\"").matcher(answer.body().string());
                boolean refused = answer.code() >= 400 && code.find();
                System.out.println(step[0] + " " + answer.code() + " " + (refused ? code.group(1) : "-")
                    + (answer.header("retry-after") == null ? "" : ",retry-after"));
            } catch (Exception error) {
                System.out.println(step[0] + " 0 " + error.getClass().getSimpleName());
            }
        }
        System.exit(0); // it keeps connections open
    }
}
