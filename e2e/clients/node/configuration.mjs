// What every application here takes from its environment for its client.
import { Config } from "node-api-analytics";

// The client's defaults but for what the environment says.
export function configured() {
  const config = new Config();
  config.serverUrl = process.env.WATCHKEEPER_URL;
  const { PRIVACY_LEVEL: level, USER_ID_HEADER: header } = process.env;
  if (level) {
    config.privacyLevel = Number(level);
  }
  if (header) {
    config.getUserID = (request) => request.headers[header.toLowerCase()];
  }
  return config;
}
