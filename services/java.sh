# shellcheck shell=bash
# shellcheck disable=SC2154 # $cache is set in services/run.sh, which sources this
# Java, and jars from Maven Central. Sourced by services/run.sh.

maven_dependency_plugin=org.apache.maven.plugins:maven-dependency-plugin:3.8.1

# Prints a Java 17: Kafka 4 wants 17 or later, Cassandra 5.0 runs on 11 and 17 only.
find_java() {
    local java
    for java in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" /usr/lib/jvm/*17*/bin/java; do
        if [[ -n $java && -x $java ]] && "$java" -version 2>&1 | grep -q 'version "17[."]'; then
            echo "$java"
            return 0
        fi
    done
    return 1
}

need_java() {
    find_java >/dev/null || install_packages openjdk-17-jre-headless
    java=$(find_java) || die "Java 17 is needed for Kafka and Cassandra: install it and set JAVA_HOME"
}

# fetch_jars NAME VERSION GROUP:ARTIFACT:VERSION...: the jars and all they need, once, into $cache/NAME-VERSION/lib. A half
# filled directory never gets that name. Maven checks every jar against the checksum beside it (-C).
fetch_jars() {
    local name=$1 version=$2 dependency group artifact number work
    local dir=$cache/$name-$version
    shift 2
    [[ ! -d $dir/lib ]] || return 0
    command -v mvn >/dev/null || install_packages maven
    say "fetching $name $version from Maven Central, once, into $dir"
    work=$(mktemp -d "$cache/.$name.XXXXXX")
    {
        echo '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        echo "<groupId>local</groupId><artifactId>$name-jars</artifactId><version>1</version><packaging>pom</packaging><dependencies>"
        for dependency in "$@"; do
            IFS=: read -r group artifact number <<<"$dependency"
            echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$number</version></dependency>"
        done
        echo '</dependencies></project>'
    } >"$work/pom.xml"
    # A repository to throw away: mirrors and proxies of ~/.m2/settings.xml count, and ~/.m2 is not written.
    mvn -B -q -ntp -C -f "$work/pom.xml" "$maven_dependency_plugin:copy-dependencies" -DincludeScope=runtime \
        -DoutputDirectory="$work/lib" -Dmaven.repo.local="$work/m2" >"$work/log" 2>&1 || {
        tail -n 20 "$work/log" >&2
        die "maven could not fetch $name $version; its reason stands above and in $work/log"
    }
    rm -rf "$work/m2"
    mv -T "$work" "$dir"
}
