import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.HashMap;
import java.util.Map;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.retry.RetryOneTime;

/**
 * Takes part in an election by Curator's LeaderLatch: `join ID`, `leave ID`; `leader` says whose latch has it.
 * Says `done` to the others. Arguments: the servers and the latch's path.
 */
public final class Voter {
    public static void main(String[] arguments) throws Exception {
        CuratorFramework client =
                CuratorFrameworkFactory.newClient(arguments[0], 4000, 15000, new RetryOneTime(100));
        client.start();
        Map<String, LeaderLatch> latches = new HashMap<>();
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = input.readLine()) != null; ) {
            String[] words = line.split(" ");
            switch (words[0]) {
                case "join" -> {
                    LeaderLatch latch = new LeaderLatch(client, arguments[1], words[1]);
                    latches.put(words[1], latch);
                    latch.start();
                    // Its node is made in a thread of its own: two that join at once may stand in either order.
                    while (latch.getParticipants().stream().noneMatch(one -> one.getId().equals(words[1]))) {
                        Thread.sleep(1);
                    }
                    System.out.println("done");
                }
                case "leave" -> {
                    latches.remove(words[1]).close();
                    System.out.println("done");
                }
                case "leader" -> {
                    String leader = "none";
                    for (Map.Entry<String, LeaderLatch> latch : latches.entrySet()) {
                        if (latch.getValue().hasLeadership()) {
                            leader = latch.getKey();
                        }
                    }
                    System.out.println(leader);
                }
                default -> throw new IllegalArgumentException(line);
            }
        }
        client.close();
    }
}
