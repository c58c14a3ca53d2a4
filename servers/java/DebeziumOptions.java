import io.debezium.config.Field;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.stream.Collectors;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.json.JsonConverterConfig;
import org.apache.kafka.connect.runtime.SourceConnectorConfig;

/**
 * Prints every option that Debezium's JARs (the arguments) and Kafka Connect know, a line each: class, name, default and
 * the words that are allowed, with tabs between; nothing where there is no default, or any value is allowed.
 *
 * <p>In Debezium an option is a static {@link Field} of the class that reads it.
 */
public final class DebeziumOptions {
    private static final PrintStream OUT =
            new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);

    public static void main(String[] arguments) throws Exception {
        System.setOut(System.err);
        for (String argument : arguments) {
            try (JarFile jar = new JarFile(new File(argument))) {
                for (JarEntry entry : Collections.list(jar.entries())) {
                    String name = entry.getName();
                    if (name.startsWith("io/debezium/") && name.endsWith(".class")) {
                        printFields(name.substring(0, name.length() - ".class".length()).replace('/', '.'));
                    }
                }
            }
        }
        printKeys("connect", SourceConnectorConfig.configDef());
        printKeys("json", JsonConverterConfig.configDef());
    }

    private static void printFields(String className) throws IllegalAccessException {
        try {
            for (java.lang.reflect.Field field : Class.forName(className).getDeclaredFields()) {
                if (java.lang.reflect.Modifier.isStatic(field.getModifiers()) && field.getType() == Field.class) {
                    field.setAccessible(true);
                    Field option = (Field) field.get(null);
                    String words = option.allowedValues() == null
                            ? ""
                            : option.allowedValues().stream().map(Object::toString).collect(Collectors.joining(","));
                    print(className, option.name(), option.defaultValueAsString(), words);
                }
            }
        } catch (ClassNotFoundException | LinkageError missing) {
            System.err.println(className + " needs what is not here: " + missing);
        }
    }

    private static void printKeys(String className, ConfigDef keys) {
        for (ConfigDef.ConfigKey key : keys.configKeys().values()) {
            print(className, key.name, key.hasDefault() && key.defaultValue != null ? key.defaultValue.toString() : "", "");
        }
    }

    private static void print(String className, String name, String byDefault, String words) {
        OUT.println(String.join("\t", className, name, byDefault == null ? "" : byDefault, words));
    }
}
