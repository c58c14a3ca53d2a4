import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;

/** Lets whoever calls itself so write, and read, that many bytes a second: ADDRESS CLIENT_ID BYTES. */
public final class KafkaQuota {
    public static void main(String[] arguments) throws Exception {
        double rate = Double.parseDouble(arguments[2]);
        var entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, arguments[1]));
        var rates = List.of(
            new ClientQuotaAlteration.Op("producer_byte_rate", rate),
            new ClientQuotaAlteration.Op("consumer_byte_rate", rate));
        try (Admin admin = Admin.create(Map.<String, Object>of("bootstrap.servers", arguments[0]))) {
            admin.alterClientQuotas(List.of(new ClientQuotaAlteration(entity, rates))).all().get();
        }
    }
}
