import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HashMap;
import java.util.Map;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.retry.RetryOneTime;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;

/**
 * Registers by Curator's x-discovery: `register SERVICE ID ADDRESS PORT`, `update …` the same, `unregister ID`.
 * Says `done` to each. Arguments: the servers and the base path.
 */
public final class Registrar {
    public static void main(String[] arguments) throws Exception {
        CuratorFramework client =
                CuratorFrameworkFactory.newClient(arguments[0], 4000, 15000, new RetryOneTime(100));
        client.start();
        ServiceDiscovery<Object> discovery =
                ServiceDiscoveryBuilder.builder(Object.class).client(client).basePath(arguments[1]).build();
        discovery.start();
        Map<String, ServiceInstance<Object>> held = new HashMap<>();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = input.readLine()) != null; ) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "register" -> {
                    held.put(words[2], instance(words));
                    discovery.registerService(held.get(words[2]));
                }
                case "update" -> {
                    held.put(words[2], instance(words));
                    discovery.updateService(held.get(words[2]));
                }
                case "unregister" -> discovery.unregisterService(held.remove(words[1]));
                default -> throw new IllegalArgumentException(line);
            }
            System.out.println("done");
        }
        discovery.close();
        client.close();
    }

    private static ServiceInstance<Object> instance(String[] words) throws Exception {
        return ServiceInstance.builder()
                .name(words[1]).id(words[2]).address(words[3]).port(Integer.parseInt(words[4])).build();
    }
}
