import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Hashtable;
import java.util.List;
import javax.naming.Context;
import javax.naming.NamingException;
import javax.naming.directory.Attribute;
import javax.naming.directory.InitialDirContext;

/** A question a line, such as `SRV _web._tcp.svc.local`; its records as a line, sorted, with `;` between, or the error. */
public final class Client {
    public static void main(String[] arguments) throws Exception {
        Hashtable<String, String> settings = new Hashtable<>();
        settings.put(Context.INITIAL_CONTEXT_FACTORY, "com.sun.jndi.dns.DnsContextFactory");
        settings.put(Context.PROVIDER_URL, "dns://" + arguments[0]);
        settings.put("com.sun.jndi.dns.timeout.initial", "5000");
        InitialDirContext context = new InitialDirContext(settings);
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = input.readLine()) != null; ) {
            String[] words = line.split(" ");
            try {
                Attribute records = context.getAttributes(words[1], new String[] {words[0]}).get(words[0]);
                List<String> found = new ArrayList<>();
                for (int i = 0; records != null && i < records.size(); i++) {
                    found.add(records.get(i).toString());
                }
                Collections.sort(found);
                System.out.println(String.join(";", found));
            } catch (NamingException error) {
                System.out.println(error.getClass().getSimpleName());
            }
        }
    }
}
