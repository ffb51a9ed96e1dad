#!/usr/bin/env bash
# activemq.sh DIR PORT: ActiveMQ with a STOMP connector only; KahaDB syncs its journal, as it does by default.
set -euo pipefail
dir=$1 port=$2
mkdir -p "$dir/conf" "$dir/data" "$dir/tmp"
cat >"$dir/conf/activemq.xml" <<END
<beans xmlns="http://www.springframework.org/schema/beans"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
  xsi:schemaLocation="http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans-2.0.xsd
  http://activemq.apache.org/schema/core http://activemq.apache.org/schema/core/activemq-core.xsd">
  <broker xmlns="http://activemq.apache.org/schema/core" brokerName="localhost" useJmx="false" dataDirectory="$dir/data">
    <persistenceAdapter><kahaDB directory="$dir/data/kahadb" enableJournalDiskSyncs="true"/></persistenceAdapter>
    <transportConnectors>
      <transportConnector name="stomp" uri="stomp://127.0.0.1:$port?maximumConnections=10000"/>
    </transportConnectors>
  </broker>
</beans>
END
cp /etc/activemq/instances-available/main/log4j2.properties "$dir/conf/" 2>/dev/null || true
cd "$dir"
exec java -Xms512M -Xmx2G -Djava.io.tmpdir="$dir/tmp" -Dactivemq.classpath="$dir/conf" \
    -Dactivemq.home=/usr/share/activemq -Dactivemq.base="$dir" -Dactivemq.conf="$dir/conf" -Dactivemq.data="$dir/data" \
    -jar /usr/share/activemq/bin/activemq.jar start "xbean:file:$dir/conf/activemq.xml"
