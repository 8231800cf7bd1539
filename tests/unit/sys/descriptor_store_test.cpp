// SPDX-License-Identifier: GPL-3.0-or-later
#include "daemon/sys/descriptor_store.hpp"

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

namespace mpt::sys {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;

// The service manager's end: what NOTIFY_SOCKET names. It reads all the time, for few messages fit into the socket.
class Listener {
public:
    explicit Listener(const std::string &path) : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0))
    {
        unlink(path.c_str());
        address_.sun_family = AF_UNIX;
        path.copy(address_.sun_path, sizeof address_.sun_path - 1);
        EXPECT_EQ(bind(fd_.get(), address(), sizeof address_), 0);
        reader_ = std::thread([this] { read(); });
    }
    ~Listener()
    {
        send(kEnd);
        reader_.join();
    }
    Listener(const Listener &) = delete;
    Listener &operator=(const Listener &) = delete;

    struct Message {
        std::string text;
        std::vector<FileDescriptor> descriptors;
    };

    // What was sent since the last call.
    std::vector<Message> messages()
    {
        send(kMark);
        std::unique_lock lock(mutex_);
        came_.wait(lock, [this] { return std::exchange(is_marked_, false); });
        return std::exchange(messages_, {});
    }

    // Of that, which names it is to keep ("+name") and to let go ("-name").
    std::vector<std::string> names()
    {
        std::vector<std::string> all;
        for (const Message &message : messages()) {
            const char *sign = message.text.starts_with("FDSTORE=1\n") ? "+" : "-";
            EXPECT_TRUE(*sign == '+' || message.text.starts_with("FDSTOREREMOVE=1\n")) << message.text;
            EXPECT_EQ(message.descriptors.size(), *sign == '+' ? 1U : 0U);
            all.push_back(sign + message.text.substr(message.text.find("FDNAME=") + 7));
        }
        return all;
    }

private:
    static constexpr std::string_view kMark = "mark";
    static constexpr std::string_view kEnd = "end";

    const sockaddr *address() const { return reinterpret_cast<const sockaddr *>(&address_); }

    void send(std::string_view text) const
    {
        const FileDescriptor out(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        EXPECT_GT(sendto(out.get(), text.data(), text.size(), 0, address(), sizeof address_), 0);
    }

    void read()
    {
        for (;;) {
            Message message = receive();
            if (message.text == kEnd)
                return;
            const std::lock_guard lock(mutex_);
            if (message.text == kMark) {
                is_marked_ = true;
                came_.notify_one();
            } else {
                messages_.push_back(std::move(message));
            }
        }
    }

    Message receive() const
    {
        std::array<char, 4096> text{};
        iovec part{text.data(), text.size()};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = control.data();
        header.msg_controllen = control.size();
        const ssize_t size = recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC);
        if (size < 0)
            return {std::string(kEnd), {}};
        Message message{{text.data(), static_cast<std::size_t>(size)}, {}};
        for (cmsghdr *at = CMSG_FIRSTHDR(&header); at != nullptr; at = CMSG_NXTHDR(&header, at))
            if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_RIGHTS) {
                int fd = -1;
                std::memcpy(&fd, CMSG_DATA(at), sizeof fd);
                message.descriptors.emplace_back(fd);
            }
        return message;
    }

    sockaddr_un address_{};
    FileDescriptor fd_;
    std::mutex mutex_;
    std::condition_variable came_;
    bool is_marked_ = false; // all that was sent before the mark is in messages_
    std::vector<Message> messages_;
    std::thread reader_;
};

class DescriptorStoreTest : public ::testing::Test {
protected:
    DescriptorStoreTest()
    {
        EXPECT_NE(mkdtemp(folder.data()), nullptr);
        setenv("NOTIFY_SOCKET", path().c_str(), 1);
        listener.emplace(path());
    }
    ~DescriptorStoreTest() override
    {
        listener.reset();
        unsetenv("NOTIFY_SOCKET");
        std::filesystem::remove_all(folder);
    }

    std::string path() const { return folder + "/notify"; }

    // So many under "x/": the descriptor does not matter.
    static std::map<std::string, int> some(int count)
    {
        std::map<std::string, int> all;
        for (int i = 0; i < count; ++i)
            all.emplace(fmt::format("x/{:04}", i), STDIN_FILENO);
        return all;
    }

    std::string folder = "/tmp/mptd-store-XXXXXX";
    std::optional<Listener> listener;
    DescriptorStore store;
};

TEST_F(DescriptorStoreTest, TheServiceManagerGetsTheDescriptorAndItsName)
{
    EXPECT_GT(store.keep("tun0", STDIN_FILENO), 0);
    const auto messages = listener->messages();
    ASSERT_EQ(messages.size(), 1U);
    EXPECT_EQ(messages[0].text, "FDSTORE=1\nFDPOLL=0\nFDNAME=tun0");
    ASSERT_EQ(messages[0].descriptors.size(), 1U);
    struct stat ours {
    }, theirs{};
    fstat(STDIN_FILENO, &ours);
    fstat(messages[0].descriptors[0].get(), &theirs);
    EXPECT_EQ(theirs.st_ino, ours.st_ino);
    EXPECT_GT(store.forget("tun0"), 0);
    EXPECT_THAT(listener->names(), ElementsAre("-tun0"));
}

TEST_F(DescriptorStoreTest, OfManyWhatHasChangedIsToldInBatches)
{
    constexpr std::size_t batch = 64;
    const auto all = some(150);
    store.keep("y/0", STDIN_FILENO);
    listener->messages();
    for (const std::size_t expected : {batch, batch, 150 - 2 * batch}) {
        EXPECT_EQ(store.keep_just("x/", all), expected != batch);
        const auto names = listener->names();
        EXPECT_EQ(names.size(), expected);
        EXPECT_THAT(names, ::testing::Each(StartsWith("+x/")));
    }
    EXPECT_TRUE(store.keep_just("x/", all));
    EXPECT_THAT(listener->names(), IsEmpty());
    EXPECT_EQ(store.pause(), std::chrono::milliseconds(20));
    // Those that go count as those that come.
    std::map<std::string, int> wanted = some(50);
    wanted.emplace("x/new", STDIN_FILENO);
    EXPECT_FALSE(store.keep_just("x/", wanted));
    EXPECT_EQ(listener->names().size(), batch);
    EXPECT_TRUE(store.keep_just("x/", wanted));
    const auto rest = listener->names();
    ASSERT_EQ(rest.size(), 100 + 1 - batch);
    EXPECT_EQ(rest.back(), "+x/new");
    // Who waits for them does not wait for a pause.
    store.keep_just("x/", all);
    store.keep_just("x/", all);
    listener->messages();
    store.forget_others("x/", {});
    EXPECT_EQ(listener->names().size(), 150U);
}

TEST_F(DescriptorStoreTest, WhatCouldNotBeSentIsSentLater)
{
    const auto all = some(3);
    listener.reset();
    EXPECT_LT(store.keep("tun0", STDIN_FILENO), 0);
    EXPECT_FALSE(store.keep_just("x/", all));
    listener.emplace(path());
    EXPECT_TRUE(store.keep_just("x/", all));
    EXPECT_THAT(listener->names(), ElementsAre("+x/0000", "+x/0001", "+x/0002"));
    listener.reset();
    EXPECT_FALSE(store.keep_just("x/", some(1)));
    EXPECT_FALSE(store.wait_for_closing()) << "nothing is let go yet";
    listener.emplace(path());
    EXPECT_TRUE(store.keep_just("x/", some(1)));
    EXPECT_THAT(listener->names(), ElementsAre("-x/0001", "-x/0002"));
}

TEST_F(DescriptorStoreTest, WithoutAServiceManagerNothingIsTriedAgain)
{
    unsetenv("NOTIFY_SOCKET");
    EXPECT_EQ(store.keep("tun0", STDIN_FILENO), 0);
    EXPECT_EQ(store.forget("tun0"), 0);
    EXPECT_TRUE(store.keep_just("x/", some(1000)));
    EXPECT_TRUE(store.keep_just("x/", {}));
    EXPECT_FALSE(store.wait_for_closing());
}

TEST_F(DescriptorStoreTest, TheMoreAreThereTheLongerThePause)
{
    const auto all = some(2000);
    while (!store.keep_just("x/", all))
        ;
    EXPECT_GE(store.pause(),
              2 * 64 * 2000 * std::chrono::microseconds(1)); // of each the comparisons, and as long again
}

} // namespace
} // namespace mpt::sys
