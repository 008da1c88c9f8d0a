// A question a line, such as `resolveSrv _web._tcp.svc.local`; its answer as a line of JSON, or the error's code.
const { Resolver } = require('node:dns').promises;
const resolver = new Resolver({ timeout: 5000, tries: 3 });
resolver.setServers([process.argv[2]]);
require('node:readline').createInterface({ input: process.stdin }).on('line', async (line) => {
  const [how, name] = line.split(' ');
  try {
    console.log(JSON.stringify(await resolver[how](name)));
  } catch (error) {
    console.log(JSON.stringify(error.code));
  }
});
