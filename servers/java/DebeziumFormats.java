import io.confluent.connect.avro.AvroConverter;
import io.confluent.connect.protobuf.ProtobufConverter;
import io.confluent.kafka.schemaregistry.avro.AvroSchemaProvider;
import io.confluent.kafka.schemaregistry.client.MockSchemaRegistryClient;
import io.confluent.kafka.schemaregistry.client.SchemaRegistryClient;
import io.confluent.kafka.schemaregistry.protobuf.ProtobufSchemaProvider;
import io.debezium.embedded.Connect;
import io.debezium.engine.DebeziumEngine;
import io.debezium.engine.RecordChangeEvent;
import io.debezium.engine.format.ChangeEventFormat;
import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.Reader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.json.JsonConverter;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.storage.Converter;

/**
 * Runs the real Debezium engine and prints each record as DebeziumLines does, with a member "forms" more: what Confluent's
 * converters make of the same record, {"avro":{"key":FORM,"value":FORM},…}.
 *
 * <p>FORM is null for null, and {"hex":bytes as Kafka gets them,"subject":…,"schema":text as registered}. The converters
 * are named by the property "forms" (avro, protobuf), and each has the properties that begin with its name and a dot. The
 * registry is the converters' own mock: ids count from 1. The engine stops when standard input ends.
 */
public final class DebeziumFormats {
    private static final OutputStream OUT = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out), 1 << 20);
    private static final Map<String, Converter[]> FORMS = new TreeMap<>();
    private static final SchemaRegistryClient REGISTRY =
            new MockSchemaRegistryClient(List.of(new AvroSchemaProvider(), new ProtobufSchemaProvider()));
    private static final JsonConverter[] JSON = {new JsonConverter(), new JsonConverter(), new JsonConverter()};

    public static void main(String[] arguments) throws Exception {
        System.setOut(System.err);
        Properties properties = new Properties();
        try (Reader reader = Files.newBufferedReader(Path.of(arguments[0]))) {
            properties.load(reader);
        }
        for (int at = 0; at < JSON.length; at++) {
            JSON[at].configure(Map.of("schemas.enable", properties.getProperty("converter.schemas.enable", "false"),
                    "converter.type", new String[] {"key", "value", "header"}[at]));
        }
        for (String form : properties.getProperty("forms").split(",")) {
            FORMS.put(form, new Converter[] {configured(form, properties, true), configured(form, properties, false)});
        }
        AtomicBoolean failed = new AtomicBoolean();
        DebeziumEngine<RecordChangeEvent<SourceRecord>> engine = DebeziumEngine.create(ChangeEventFormat.of(Connect.class))
                .using(properties)
                .using((success, message, error) -> {
                    if (!success) {
                        System.err.println("engine failed: " + message);
                        failed.set(true);
                    }
                })
                .notifying((records, committer) -> {
                    print(records);
                    for (RecordChangeEvent<SourceRecord> record : records) {
                        committer.markProcessed(record);
                    }
                    committer.markBatchFinished();
                })
                .build();
        Thread closer = new Thread(() -> closeWhenInputEnds(engine), "closer");
        closer.setDaemon(true);
        closer.start();
        engine.run();
        OUT.flush();
        System.exit(failed.get() ? 1 : 0);
    }

    private static Converter configured(String form, Properties properties, boolean key) {
        Map<String, String> options = new HashMap<>(Map.of("schema.registry.url", "http://unused"));
        for (String name : properties.stringPropertyNames()) {
            if (name.startsWith(form + ".")) {
                options.put(name.substring(form.length() + 1), properties.getProperty(name));
            }
        }
        Converter converter = form.equals("avro") ? new AvroConverter(REGISTRY) : new ProtobufConverter(REGISTRY);
        converter.configure(options, key);
        return converter;
    }

    private static void closeWhenInputEnds(DebeziumEngine<?> engine) {
        try {
            while (System.in.read() >= 0) { }
            engine.close();
        } catch (IOException | IllegalStateException closed) {
            System.err.println("engine closed: " + closed.getMessage());
        }
    }

    private static void print(List<RecordChangeEvent<SourceRecord>> records) {
        try {
            for (RecordChangeEvent<SourceRecord> record : records) {
                print(record.record());
            }
            OUT.flush();
        } catch (Exception broken) {
            throw new IllegalStateException(broken);
        }
    }

    private static void print(SourceRecord record) throws Exception {
        String topic = record.topic();
        text("{\"topic\":\"" + topic + "\",\"key\":");
        json(JSON[0].fromConnectData(topic, record.keySchema(), record.key()));
        text(",\"value\":");
        json(JSON[1].fromConnectData(topic, record.valueSchema(), record.value()));
        String separator = ",\"headers\":[";
        for (Header header : record.headers()) {
            text(separator + "[\"" + header.key() + "\",");
            json(JSON[2].fromConnectHeader(topic, header.key(), header.schema(), header.value()));
            text("]");
            separator = ",";
        }
        text((record.headers().isEmpty() ? "" : "]") + ",\"forms\":");
        separator = "{";
        for (Map.Entry<String, Converter[]> form : FORMS.entrySet()) {
            text(separator + "\"" + form.getKey() + "\":{\"key\":");
            form(form.getValue()[0], topic, record.keySchema(), record.key());
            text(",\"value\":");
            form(form.getValue()[1], topic, record.valueSchema(), record.value());
            text("}");
            separator = ",";
        }
        text("}}\n");
    }

    private static void form(Converter converter, String topic, Schema schema, Object data)
            throws Exception {
        byte[] bytes;
        try {
            bytes = converter.fromConnectData(topic, schema, data);
        } catch (RuntimeException refused) {
            text("{\"refused\":");
            Throwable cause = refused;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            quoted(String.valueOf(cause));
            text("}");
            return;
        }
        if (bytes == null) {
            text("null");
            return;
        }
        int id = ByteBuffer.wrap(bytes).getInt(1);
        text("{\"hex\":\"" + HexFormat.of().formatHex(bytes) + "\",\"id\":" + id + ",\"schema\":");
        quoted(REGISTRY.getSchemaById(id).canonicalString());
        text(",\"subjects\":[");
        String separator = "";
        for (String subject : REGISTRY.getAllSubjectsById(id)) {
            text(separator);
            quoted(subject);
            separator = ",";
        }
        text("]}");
    }

    private static void quoted(String text) throws IOException {
        OUT.write(JSON[2].fromConnectData("", Schema.STRING_SCHEMA, text));
    }

    private static void json(byte[] document) throws IOException {
        if (document == null) {
            text("null");
        } else {
            OUT.write(document);
        }
    }

    private static void text(String part) throws IOException {
        OUT.write(part.getBytes(StandardCharsets.UTF_8));
    }
}
