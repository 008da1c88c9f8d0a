import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.UnknownHostException;

/** A name a line; the addresses that InetAddress has for it as a line, or "none". */
public final class Host {
    public static void main(String[] arguments) throws Exception {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String name; (name = input.readLine()) != null; ) {
            StringBuilder found = new StringBuilder();
            try {
                for (InetAddress address : InetAddress.getAllByName(name)) {
                    found.append(address.getHostAddress()).append(' ');
                }
            } catch (UnknownHostException error) {
                found.append("none");
            }
            System.out.println(found);
        }
    }
}
