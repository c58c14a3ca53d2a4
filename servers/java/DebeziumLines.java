import io.debezium.engine.ChangeEvent;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.Header;
import io.debezium.engine.format.CloudEvents;
import io.debezium.engine.format.JsonByteArray;
import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.Reader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Runs the real Debezium engine and prints each record as one line, {"topic":…,"key":KEY,"value":VALUE,"headers":[…]}.
 *
 * <p>KEY and VALUE are the bytes of Kafka's JsonConverter, spliced in unread; a partition follows when a transform chose one.
 * With the property "lines.value=cloudevents" VALUE is what Debezium's CloudEventsConverter made. With "discard" as second argument they are
 * counted instead, and the count is printed after each batch: that is how benchmarks measure the engine and not a pipe.
 * The engine stops when standard input ends, so that it never outlives who started it. Logs go to standard error.
 *
 * <p>Without arguments it runs one engine after the other: a line of standard input is the file of an engine's properties, the next
 * line ends it, and an empty line is printed when it has ended.
 */
public final class DebeziumLines {
    private static final byte[] NULL = "null".getBytes(StandardCharsets.UTF_8);
    private static final OutputStream OUT = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 20);
    private static long count;

    public static void main(String[] arguments) throws Exception {
        System.setOut(System.err);
        if (arguments.length == 0) {
            serve();
            return;
        }
        boolean discard = arguments.length > 1 && arguments[1].equals("discard");
        AtomicBoolean failed = new AtomicBoolean();
        DebeziumEngine<?> engine = engine(arguments[0], discard, failed);
        Thread closer = new Thread(() -> closeWhenInputEnds(engine), "closer");
        closer.setDaemon(true);
        closer.start();
        engine.run();
        OUT.flush();
        System.exit(failed.get() ? 1 : 0);
    }

    private static void serve() throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String file; (file = lines.readLine()) != null;) {
            DebeziumEngine<?> engine = engine(file, false, new AtomicBoolean());
            Thread runner = new Thread(() -> {
                engine.run();
                end();
            }, "engine");
            runner.start();
            lines.readLine();
            try {
                engine.close();
            } catch (IOException | IllegalStateException closed) {
                System.err.println("engine closed: " + closed.getMessage());
            }
            runner.join();
        }
        System.exit(0);
    }

    private static void end() {
        try {
            OUT.write('\n');
            OUT.flush();
        } catch (IOException broken) {
            throw new IllegalStateException("standard output is closed", broken);
        }
    }

    private static DebeziumEngine<?> engine(String file, boolean discard, AtomicBoolean failed) throws IOException {
        Properties properties = new Properties();
        try (Reader reader = Files.newBufferedReader(Path.of(file))) {
            properties.load(reader);
        }
        DebeziumEngine.Builder<? extends ChangeEvent<byte[], ?>> builder = "cloudevents".equals(properties.getProperty("lines.value"))
                ? DebeziumEngine.create(JsonByteArray.class, CloudEvents.class, JsonByteArray.class)
                : DebeziumEngine.create(JsonByteArray.class, JsonByteArray.class, JsonByteArray.class); // key, value, headers
        return build(builder, properties, discard, failed);
    }

    private static <R extends ChangeEvent<byte[], ?>> DebeziumEngine<R> build(
            DebeziumEngine.Builder<R> builder, Properties properties, boolean discard, AtomicBoolean failed) {
        return builder
                .using(properties)
                .using((success, message, error) -> {
                    if (!success) {
                        System.err.println("engine failed: " + message);
                        failed.set(true);
                    }
                })
                .notifying((records, committer) -> {
                    handle(records, discard);
                    for (R record : records) {
                        committer.markProcessed(record);
                    }
                    committer.markBatchFinished();
                })
                .build();
    }

    private static void closeWhenInputEnds(DebeziumEngine<?> engine) {
        try {
            while (System.in.read() >= 0) { }
            engine.close();
        } catch (IOException | IllegalStateException closed) {
            System.err.println("engine closed: " + closed.getMessage());
        }
    }

    private static void handle(List<? extends ChangeEvent<byte[], ?>> records, boolean discard) {
        try {
            if (discard) {
                count += records.size();
                OUT.write((count + "\n").getBytes(StandardCharsets.US_ASCII));
            } else {
                for (ChangeEvent<byte[], ?> record : records) {
                    print(record);
                }
            }
            OUT.flush();
        } catch (IOException broken) {
            throw new IllegalStateException("standard output is closed", broken);
        }
    }

    private static void print(ChangeEvent<byte[], ?> record) throws IOException {
        text("{\"topic\":\"" + record.destination() + "\",\"key\":");
        OUT.write(record.key() == null ? NULL : record.key());
        text(",\"value\":");
        Object value = record.value();
        OUT.write(value == null ? NULL : value instanceof String json ? json.getBytes(StandardCharsets.UTF_8) : (byte[]) value);
        List<Header<byte[]>> headers = record.<byte[]>headers();
        if (headers != null && !headers.isEmpty()) {
            String separator = ",\"headers\":[";
            for (Header<byte[]> header : headers) {
                text(separator + "[\"" + header.getKey() + "\",");
                OUT.write(header.getValue() == null ? NULL : header.getValue());
                text("]");
                separator = ",";
            }
            text("]");
        }
        if (record.partition() != null) {
            text(",\"partition\":" + record.partition());
        }
        text("}\n");
    }

    private static void text(String part) throws IOException {
        OUT.write(part.getBytes(StandardCharsets.UTF_8));
    }
}
