import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.types.RowKind;
import org.apache.flink.util.CloseableIterator;

/**
 * Runs statements of Flink's SQL in a local cluster of this JVM, the last of them a query, and prints the rows that its changelog leaves.
 *
 * <p>The file named by the only argument holds the statements, with a line of two hyphens between them. A row is known by its first
 * column. It is printed as one line, its cells as text between tabs, null as \N. Logs go to standard error.
 */
public final class FlinkRows {
    public static void main(String[] arguments) throws Exception {
        String[] statements = Files.readString(Path.of(arguments[0])).split("\n--\n");
        Configuration configuration = new Configuration();
        configuration.setString("parallelism.default", "1");
        configuration.setString("table.local-time-zone", "UTC");
        configuration.setString("taskmanager.memory.managed.size", "64mb");
        configuration.setString("taskmanager.memory.network.max", "64mb");
        configuration.setString("taskmanager.numberOfTaskSlots", "1");
        TableEnvironment tables = TableEnvironment.create(
                EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(configuration).build());
        for (int at = 0; at < statements.length - 1; at++) {
            tables.executeSql(statements[at]);
        }
        Map<Object, Row> rows = new LinkedHashMap<>();
        try (CloseableIterator<Row> changes = tables.executeSql(statements[statements.length - 1]).collect()) {
            while (changes.hasNext()) {
                apply(rows, changes.next());
            }
        }
        rows.values().forEach(row -> System.out.println(line(row)));
        System.out.flush();
        System.exit(0);
    }

    private static void apply(Map<Object, Row> rows, Row row) {
        if (row.getKind() == RowKind.DELETE || row.getKind() == RowKind.UPDATE_BEFORE) {
            if (rows.remove(row.getField(0)) == null) {
                throw new IllegalStateException("a row is taken back that never came");
            }
        } else if (rows.put(row.getField(0), row) != null) {
            throw new IllegalStateException("a row comes that is there");
        }
    }

    private static String line(Row row) {
        List<String> cells = new ArrayList<>();
        for (int at = 0; at < row.getArity(); at++) {
            Object cell = row.getField(at);
            cells.add(cell == null ? "\\N" : cell.toString());
        }
        return String.join("\t", cells);
    }
}
