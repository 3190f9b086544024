import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * A web server on the JVM, with what one has at work: a heap that is in use, a pool of threads, virtual threads, a
 * timer and selectors. `GET /` answers its token, which request this is, and whether all of that is as it was.
 */
final class Server {
    private static final int ENTRIES = 200_000;

    private final String token = randomToken();
    private final Map<Integer, String> heap = new HashMap<>();
    private final AtomicLong requests = new AtomicLong();
    private final AtomicLong ticks = new AtomicLong();

    public static void main(String[] args) throws Exception {
        new Server().serve();
    }

    private void serve() throws Exception {
        for (int key = 0; key < ENTRIES; key++) {
            heap.put(key, token + key);
        }
        Executors.newScheduledThreadPool(2).scheduleAtFixedRate(ticks::incrementAndGet, 0, 5, TimeUnit.MILLISECONDS);
        var server = HttpServer.create(new InetSocketAddress(8080), 0);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/", exchange -> {
            byte[] body = answer().getBytes(StandardCharsets.UTF_8);
            exchange.sendResponseHeaders(200, body.length);
            try (var out = exchange.getResponseBody()) {
                out.write(body);
            }
        });
        server.start();
        System.out.println("listening");
    }

    private String answer() {
        boolean holds = heapHolds() && timerMoves() && threadsStart();
        return "{\"token\": \"%s\", \"count\": %d, \"holds\": %b}".formatted(token, requests.incrementAndGet(), holds);
    }

    private boolean heapHolds() {
        return heap.size() == ENTRIES && heap.entrySet().stream().allMatch(e -> e.getValue().equals(token + e.getKey()));
    }

    /** Waits for a tick, and for no longer than the client does. */
    private boolean timerMoves() {
        long before = ticks.get();
        for (int tries = 0; ticks.get() == before && tries < 500; tries++) {
            pause();
        }
        return ticks.get() > before;
    }

    private boolean threadsStart() {
        var ran = new AtomicLong();
        try (var each = Executors.newVirtualThreadPerTaskExecutor()) {
            for (int number = 0; number < 10; number++) {
                each.submit(ran::incrementAndGet);
            }
        }
        return ran.get() == 10;
    }

    private static void pause() {
        try {
            Thread.sleep(10);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static String randomToken() {
        byte[] drawn = new byte[16];
        new SecureRandom().nextBytes(drawn);
        return HexFormat.of().formatHex(drawn);
    }
}
