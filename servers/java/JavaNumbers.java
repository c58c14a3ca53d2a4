import com.fasterxml.jackson.core.io.schubfach.DoubleToDecimal;
import com.fasterxml.jackson.core.io.schubfach.FloatToDecimal;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.nio.charset.StandardCharsets;

/**
 * Prints each number of standard input as Java does from version 19 on, on any version: Jackson has the same algorithm.
 *
 * <p>A line has the number's bits in hex: sixteen digits are a double, eight a float.
 */
public final class JavaNumbers {
    public static void main(String[] arguments) throws IOException {
        try (BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
                BufferedWriter out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.US_ASCII))) {
            for (String line; (line = in.readLine()) != null;) {
                out.write(line.length() == 16
                        ? DoubleToDecimal.toString(Double.longBitsToDouble(Long.parseUnsignedLong(line, 16)))
                        : FloatToDecimal.toString(Float.intBitsToFloat(Integer.parseUnsignedInt(line, 16))));
                out.write('\n');
            }
        }
    }
}
